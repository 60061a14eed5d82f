"""What RFC 3461 adds to SMTP and the library does not know: RET and ENVID at MAIL, NOTIFY and ORCPT at RCPT.

What must stay true: a parameter that the RFC does not allow is refused with 501, so that a client that writes one
wrongly is found out here and not by a relay of the world.
"""

import re
from collections.abc import Mapping

from aiosmtpd.smtp import SMTP, Envelope, Session

_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"
_AT_MAIL = {"RET": re.compile("FULL|HDRS", re.IGNORECASE), "ENVID": re.compile(f"{_XTEXT}{{1,100}}")}
_NOTIFY = r"(?:SUCCESS|FAILURE|DELAY)"
_AT_RCPT = {
    "NOTIFY": re.compile(f"NEVER|{_NOTIFY}(?:,{_NOTIFY}){{0,2}}", re.IGNORECASE),
    "ORCPT": re.compile(f"[A-Za-z0-9-]+;{_XTEXT}{{1,500}}"),
}
_ENCODED = re.compile(r"\+([0-9A-F]{2})")


class DsnSession(SMTP):
    """`mail_wishes` and `rcpt_wishes`: what stood in the last MAIL and RCPT, by parameter."""

    mail_wishes: Mapping[str, str] = {}
    rcpt_wishes: Mapping[str, str] = {}

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 the library's name
        rest, self.mail_wishes, wrong = _parted(arg, _AT_MAIL)
        await (self.push(f"501 5.5.4 {wrong}") if wrong else super().smtp_MAIL(rest))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        rest, self.rcpt_wishes, wrong = _parted(arg, _AT_RCPT)
        await (self.push(f"501 5.5.4 {wrong}") if wrong else super().smtp_RCPT(rest))


class OffersDsn:
    """The hook with which a handler of such sessions says so."""

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-DSN", responses[-1]]


def _parted(arg: str | None, known: Mapping[str, re.Pattern[str]]) -> tuple[str | None, Mapping[str, str], str]:
    """The command without these parameters, these, and what is wrong with one."""
    path, end, tail = (arg or "").rpartition(">")
    if not end:
        return arg, {}, ""
    given = [(word.partition("=")[0].upper(), word) for word in tail.split()]
    wishes = {name: word.partition("=")[2] for name, word in given if name in known}
    wrong = [name for name, value in wishes.items() if known[name].fullmatch(value) is None]
    rest = [word for name, word in given if name not in known]
    return " ".join([path + end, *rest]), wishes, f"{wrong[0]} is malformed" if wrong else ""


def decoded(xtext: str) -> str:
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), xtext)
