"""The demo's invoice on paper: a real, small PDF, written by hand."""


def invoice_pdf(*lines: str) -> bytes:
    """One A5 page with these lines of ASCII text."""
    shown = "".join(f"({_escaped(line)}) Tj T*\n" for line in lines)
    text = f"BT /F1 12 Tf 16 TL 48 520 Td\n{shown}ET".encode("ascii")
    font = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents 4 0 R /Resources %b >>" % font,
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(text), text),
    ]
    paper, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(paper))
        paper += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    ending = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(paper))
    return paper + b"xref\n0 %d\n0000000000 65535 f \n%b" % (count, table) + ending


def _escaped(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
