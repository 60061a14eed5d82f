"""Bounce mails as servers write them."""


def dsn(status: str, diagnostic: str, action: str = "failed", to: str = "ana@customer.test") -> bytes:
    """A delivery status notification (RFC 3464)."""
    return (
        "From: MAILER-DAEMON@mx.test\r\nTo: b@bounce.test\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="B"\r\n\r\n'
        "--B\r\nContent-Type: text/plain\r\n\r\nI could not deliver your mail.\r\n"
        "--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n"
        f"Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {diagnostic}\r\n\r\n"
        "--B\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: Factura\r\n\r\n--B--\r\n"
    ).encode()


def plain(subject: str, body: str, sender: str = "MAILER-DAEMON@mx.test", **headers: str) -> bytes:
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"From: {sender}\r\nTo: b@bounce.test\r\nSubject: {subject}\r\n{extra}\r\n{body}\r\n".encode()
