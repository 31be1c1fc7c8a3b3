"""The plugin's tables. What an invoice says is written once and never changed; its lines are there to be counted."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
_number = BigInteger().with_variant(Integer(), "sqlite")

# Whom an account's invoices are for. ``billed_for`` is the last day (ISO 8601) that a billing run has dealt with;
# blocks booked before ``begins_at`` (if there is one) are not billed, and at ``overdraft_since`` nothing that was sent
# beyond all blocks was left to be billed (both seconds since the epoch).
customer = Table(
    "billing_customer",
    metadata,
    Column("account_id", _number, primary_key=True, autoincrement=False),
    *(
        Column(name, Text, nullable=False)
        for name in (
            *("name", "addition", "street", "postcode", "city", "country", "vat_id", "email", "reference", "language"),
            "billed_for",
        )
    ),
    Column("reverse_charge", Boolean, nullable=False),
    Column("begins_at", Double),
    Column("overdraft_since", Double, nullable=False),
)

# The last number of each year and its day, raised in the transaction that uses it: what is rolled back leaves no gap.
counter = Table(
    "billing_counter",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("last", _number, nullable=False),
    Column("day", Text, nullable=False),
)

# ``document`` is the whole invoice as JSON; sums are in cents; no invoice is corrected twice.
invoice = Table(
    "billing_invoice",
    metadata,
    Column("number", Text, primary_key=True),
    Column("year", Integer, nullable=False),
    Column("sequence", _number, nullable=False),
    Column("account_id", _number, nullable=False, index=True),
    Column("corrects", Text, ForeignKey("billing_invoice.number"), unique=True),
    Column("day", Text, nullable=False, index=True),
    Column("net", _number, nullable=False),
    Column("vat", _number, nullable=False),
    Column("gross", _number, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("year", "sequence"),
)

# ``block_id`` is unique: a block is on one invoice. The price is in 0.00001 of the currency, the amount in cents.
line = Table(
    "billing_line",
    metadata,
    Column("number", Text, ForeignKey("billing_invoice.number"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("block_id", _number, unique=True),
    Column("quantity", _number, nullable=False),
    Column("price", _number, nullable=False),
    Column("amount", _number, nullable=False),
)


def first_tables(connection: Connection) -> None:
    """The first step: all tables."""
    metadata.create_all(connection)
