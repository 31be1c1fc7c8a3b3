"""What the sample mails carry: a picture (PNG) and a one-page document (PDF), both made here."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

SIDE = 64  # pixels
_GLAZE, _GROUND = bytes((38, 84, 124)), bytes((245, 240, 232))  # red, green, blue


def logo() -> bytes:
    """The shop's logo: a bowl, as a PNG picture."""
    rows = b"".join(b"\0" + b"".join(_pixel(x, y) for x in range(SIDE)) for y in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _pixel(x: int, y: int) -> bytes:
    """Half a disc below the middle, on a foot."""
    middle = SIDE // 2
    bowl = y >= middle - 8 and (x - middle) ** 2 + (y - middle + 8) ** 2 <= 28**2
    foot = abs(x - middle) <= 10 and SIDE - 16 <= y <= SIDE - 8
    return _GLAZE if bowl or foot else _GROUND


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def document(title: str, lines: Sequence[str]) -> bytes:
    """A page with a title and lines of text, as PDF 1.4; characters beyond Windows-1252 become question marks."""
    shown = b"".join(b"(%s) Tj T*\n" % _text(line) for line in lines)
    page = b"BT /F1 18 Tf 22 TL 60 770 Td (%s) Tj T*\n/F1 11 Tf 16 TL T*\n%sET" % (_text(title), shown)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    return _file(objects)


def _text(line: str) -> bytes:
    """The inside of a PDF string."""
    text = line.encode("cp1252", "replace")
    return text.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: Sequence[bytes]) -> bytes:
    """The objects, numbered from 1, with the table of their places and the trailer."""
    file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"  # the second line says: binary
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    entries = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, entries)
    return file + table + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(file))
