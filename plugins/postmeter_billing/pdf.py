"""An invoice as PDF/A-3: the same octets each time, since all that it shows was written with the invoice."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, time

from font_source_sans_pro import font_files_ttf as fonts
from fpdf import FPDF
from fpdf.enums import Align, DocumentCompliance, MethodReturnValue, XPos, YPos
from fpdf.fonts import TTFFont

from postmeter_billing.invoice import Invoice, Line
from postmeter_billing.texts import TEXTS
from postmeter_billing.xmp import metadata

ATTACHMENT = "factur-x.xml"

_LEFT, _RIGHT, _TOP, _BOTTOM = 25.0, 20.0, 20.0, 262.0  # mm; what is below is the foot
_INK, _QUIET, _RULE = (30, 37, 46), (106, 115, 125), (208, 213, 219)
_COLUMNS = (9.0, 78.0, 22.0, 27.0, 29.0)  # mm, 165 in all
_SMALL, _TEXT, _TITLE = 8.0, 10.0, 17.0  # points
_LINE = 4.8  # mm


def render(of: Invoice, attached: bytes | None = None) -> bytes:
    """The PDF, with the invoice's XML inside it if that is given (ZUGFeRD)."""
    with closing(Sheet(of, 1)) as sheet:
        pages = sheet.drawn().page_no()
        if pages == 1:
            return sheet.finished(attached)
    with closing(Sheet(of, pages)) as sheet:
        return sheet.drawn().finished(attached)


class Sheet(FPDF):
    """The paper: an address window as in a letter (DIN 5008), the lines with their head on each page, the sums.

    ``pages``: how many there will be, which each of them says.
    """

    def __init__(self, of: Invoice, pages: int) -> None:
        super().__init__(format="A4", enforce_compliance=DocumentCompliance.PDFA_3B)
        self._of, self._pages, self._texts = of, pages, TEXTS[of.language]
        self._at = datetime.combine(of.day, time(), UTC)
        self._name = f"{self._texts.correction} {of.corrects}" if of.corrects else self._texts.invoice
        self._headline = f"{self._texts.invoice} {of.number}"
        self.set_margins(_LEFT, _TOP, _RIGHT)
        self.set_auto_page_break(False)
        self.c_margin = 0
        self.alias_nb_pages("")
        self.add_font("Sans", "", fonts["SourceSansPro"])
        self.add_font("Sans", "B", fonts["SourceSansProSemibold"])
        self._faces = [face for face in self.fonts.values() if isinstance(face, TTFFont)]
        self._glyphs = frozenset.intersection(*(frozenset(face.cmap) for face in self._faces))
        self.set_title(self._headline)
        self.set_author(of.seller.name)
        self.set_creator("Postmeter")
        self.set_lang(of.language)
        self.set_creation_date(self._at)

    def drawn(self) -> Sheet:
        """This sheet with everything on it."""
        self.add_page()
        self._window()
        self._facts()
        self._title()
        self._table()
        self._sums()
        self._closing()
        return self

    def finished(self, attached: bytes | None) -> bytes:
        """The document; the invoice's XML is in it as what says the same in another form."""
        named = ATTACHMENT if attached else None
        self.set_xmp_metadata(metadata(self._headline, self._of.seller.name, self._at, named))
        if attached:
            self.embed_file(
                bytes=attached,
                basename=ATTACHMENT,
                mime_type="text/xml",
                associated_file_relationship="Alternative",
                creation_date=self._at,
                modification_date=self._at,
                compress=True,
            )
        return bytes(self.output())

    def close(self) -> None:
        """Close the fonts' files."""
        for face in self._faces:
            face.ttfont.close()

    # What is on every page

    def header(self) -> None:
        """The seller's name, and from the second page on which invoice this is."""
        self._write(_LEFT, _TOP - 4, 110, self._of.seller.name, 13, bold=True)
        if self.page_no() > 1:
            self._write(120, _TOP - 3, 70, self._headline, _SMALL, _QUIET, Align.R)
        self.set_y(_TOP + 10)

    def footer(self) -> None:
        """Who the seller is, and the page."""
        seller, texts = self._of.seller, self._texts
        self._rule(_BOTTOM + 6)
        place = f"{seller.country}-{seller.postcode} {seller.city}"
        columns = (
            (seller.name, seller.street, place),
            (seller.contact, seller.phone, seller.email, seller.register),
            (
                f"{texts.vat_id} {seller.vat_id}" if seller.vat_id else "",
                f"{texts.tax_number} {seller.tax_number}" if seller.tax_number else "",
                seller.bank,
                f"{texts.pay_at} {_grouped(seller.iban)}" if seller.iban else "",
            ),
        )
        for place_x, lines in zip((_LEFT, 82.0, 135.0), columns, strict=True):
            text = "\n".join(line for line in lines if line)
            self._write(place_x, _BOTTOM + 8, 55, text, 7.5, _QUIET, line=3.5)
        page = texts.page.format(page=self.page_no(), pages=self._pages)
        self._write(_LEFT, 287, 165, page, 7.5, _QUIET, Align.R)

    # What is once

    def _window(self) -> None:
        """The recipient's address where a window envelope shows it, with the sender's above."""
        seller, buyer = self._of.seller, self._of.buyer
        sender = f"{seller.name}  ·  {seller.street}  ·  {seller.postcode} {seller.city}"
        self._write(_LEFT, 46, 80, sender, 7, _QUIET, line=3)
        abroad = f"{buyer.country}-" if buyer.country != seller.country else ""
        lines = (buyer.name, buyer.addition, buyer.street, f"{abroad}{buyer.postcode} {buyer.city}")
        self._write(_LEFT, self.get_y() + 2, 80, "\n".join(line for line in lines if line), 10.5, line=5)

    def _facts(self) -> None:
        """Number, days and references, to the right of the address."""
        of, texts = self._of, self._texts
        rows = (
            (texts.number, of.number),
            (texts.day, texts.date(of.day)),
            (texts.due, "" if of.corrects else texts.date(of.due)),
            (texts.account, of.account),
            (texts.your_vat_id, of.buyer.vat_id),
            (texts.your_reference, of.buyer.reference),
        )
        window, y = self.get_y(), 46.0
        for label, value in rows:
            if value:
                self._write(120, y, 32, label, 9, _QUIET)
                self._write(150, y, 40, value, 9, align=Align.R)
                y = self.get_y() + 0.8
        self.set_y(max(window, y, 84) + 10)

    def _title(self) -> None:
        self._write(_LEFT, self.get_y(), 165, self._name, _TITLE, bold=True, line=8)
        self.set_y(self.get_y() + 5)

    def _table(self) -> None:
        """A row for each line; on a new page the head again, and what the rows before it add up to."""
        self._head()
        total = 0
        for position, line in enumerate(self._of.lines, 1):
            height = self._height(line)
            if self.get_y() + height > _BOTTOM:
                self.add_page()
                self._head()
                self._row(("", self._texts.carried, "", "", self._texts.money(total)), "")
            self._line(position, line)
            total += line.amount

    def _head(self) -> None:
        texts = self._texts
        amount = f"{texts.amount} ({self._of.currency})"
        y = self.get_y()
        for text, x, width, align in self._cells((texts.position, texts.item, texts.quantity, texts.price, amount)):
            self._write(x, y, width, text, _SMALL, _QUIET, align, line=3.8)
        self._rule(y + 5)
        self.set_y(y + 7)

    def _line(self, position: int, line: Line) -> None:
        texts = self._texts
        values = (texts.count(line.quantity), texts.per_mail(line.price), texts.money(line.amount))
        period = texts.period.format(begin=texts.date(line.begin), end=texts.date(line.end))
        self._row((str(position), line.text, *values), period)

    def _row(self, values: tuple[str, str, str, str, str], below: str) -> None:
        y = bottom = self.get_y()
        for text, x, width, align in self._cells(values):
            self._write(x, y, width, text, _TEXT, align=align)
            bottom = max(bottom, self.get_y())
        if below:
            self._write(_LEFT + _COLUMNS[0], bottom, _COLUMNS[1], below, _SMALL, _QUIET, line=3.8)
        self.set_y(self.get_y() + 1.6 if below else bottom + 1.6)
        self._rule(self.get_y())
        self.set_y(self.get_y() + 1.6)

    def _sums(self) -> None:
        """Net, VAT and total, all on one page."""
        of, texts = self._of, self._texts
        self._room(32)
        self.set_y(self.get_y() + 2)
        vat = texts.vat.format(rate=texts.per_cent(of.rate))
        for label, value in ((texts.net, of.net), (vat, of.vat)):
            y = self.get_y()
            self._write(110, y, 45, label, _TEXT, _QUIET)
            self._write(150, y, 40, f"{texts.money(value)} {of.currency}", _TEXT, align=Align.R)
            self.set_y(self.get_y() + 1)
        self._rule(self.get_y() + 0.5, 110, _INK)
        y = self.get_y() + 2.5
        self._write(110, y, 45, texts.gross, 12, bold=True, line=6)
        self._write(145, y, 45, f"{texts.money(of.gross)} {of.currency}", 12, bold=True, align=Align.R, line=6)
        self.set_y(self.get_y() + 8)

    def _closing(self) -> None:
        """Why there is no VAT, what a correction does, and how to pay."""
        of, texts = self._of, self._texts
        said = [texts.reverse_charge if of.reverse_charge else of.exemption]
        if of.corrects:
            said.append(texts.corrects.format(corrects=of.corrects))
        elif of.gross > 0:
            gross = f"{texts.money(of.gross)} {of.currency}"
            said.append(texts.pay.format(gross=gross, due=texts.date(of.due), number=of.number))
            said.append(self._bank())
        for text in filter(None, said):
            self._room(15)
            self._write(_LEFT, self.get_y(), 165, text, _TEXT, line=5)
            self.set_y(self.get_y() + 2)

    def _bank(self) -> str:
        seller = self._of.seller
        if not seller.iban:
            return ""
        bank = [f"{self._texts.pay_at} {_grouped(seller.iban)}", seller.bic and f"BIC {seller.bic}", seller.bank]
        return "   ".join(part for part in bank if part)

    # How it is drawn

    def _cells(self, values: tuple[str, ...]) -> list[tuple[str, float, float, Align]]:
        """Each value with the place, the width and the alignment of its column."""
        lefts = [_LEFT + sum(_COLUMNS[:n]) for n in range(len(_COLUMNS))]
        aligns = (Align.L, Align.L, Align.R, Align.R, Align.R)
        return list(zip(values, lefts, _COLUMNS, aligns, strict=True))

    def _height(self, line: Line) -> float:
        """What a row needs, in mm."""
        self._font(_TEXT)
        height = self.multi_cell(
            _COLUMNS[1], _LINE, self._shown(line.text), dry_run=True, output=MethodReturnValue.HEIGHT
        )
        assert isinstance(height, float)
        return height + 7

    def _room(self, height: float) -> None:
        """A new page unless this one has so many mm left."""
        if self.get_y() + height > _BOTTOM:
            self.add_page()

    def _write(
        self,
        x: float,
        y: float,
        width: float,
        text: str,
        size: float,
        color: tuple[int, int, int] = _INK,
        align: Align = Align.L,
        *,
        bold: bool = False,
        line: float = _LINE,
    ) -> None:
        """Text in a column; the next place is below it."""
        self._font(size, color, bold=bold)
        self.set_xy(x, y)
        self.multi_cell(width, line, self._shown(text), align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _font(self, size: float, color: tuple[int, int, int] = _INK, *, bold: bool = False) -> None:
        self.set_font("Sans", "B" if bold else "", size)
        self.set_text_color(*color)

    def _rule(self, y: float, x: float = _LEFT, color: tuple[int, int, int] = _RULE) -> None:
        self.set_draw_color(*color)
        self.set_line_width(0.2)
        self.line(x, y, 210 - _RIGHT, y)

    def _shown(self, text: str) -> str:
        """The text with a question mark for what the font does not have (PDF/A forbids glyphs that are missing)."""
        return "".join(c if c == "\n" or ord(c) in self._glyphs else "?" for c in text)


def _grouped(iban: str) -> str:
    plain = "".join(iban.split())
    return " ".join(plain[n : n + 4] for n in range(0, len(plain), 4))
