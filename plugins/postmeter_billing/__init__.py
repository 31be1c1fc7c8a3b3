"""Invoices for the blocks that accounts have booked and for what they have sent beyond them."""
