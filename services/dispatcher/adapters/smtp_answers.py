"""What an SMTP server's answer, or its silence, means for one mail.

4xx is never final. 5xx depends on the command that it answers: to MAIL it is about us, to RCPT about the address,
to the final dot about the mail.
"""

import re
import ssl
from datetime import timedelta
from enum import IntEnum

from aiosmtplib import SMTPAuthenticationError, SMTPException, SMTPResponse, SMTPResponseException

from services.dispatcher.domain.bounces import BounceKind, judge
from services.dispatcher.domain.outcomes import Deferred, NotSent, Outcome, Rejected, SuppressReason, Unknown
from services.dispatcher.domain.ports import GateClosed

_GREYLISTED = timedelta(minutes=5)
_NEXT_WINDOW = timedelta(seconds=2)  # nothing is wrong with the relay: this claim alone came too late
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")
_INVALID = frozenset({"5.1.2", "5.1.3", "5.1.10", "5.4.4"})
_RELAYING = re.compile(
    r"relay(ing)?\b.*(denied|not (allowed|permitted))|not permitted to relay|authenticat", re.IGNORECASE
)


class Stage(IntEnum):
    """How far a mail got."""

    CONNECT = 0
    MAIL = 1
    RCPT = 2
    DATA = 3
    SENT_BODY = 4


class Refused(Exception):
    """The server's answer to one command."""

    def __init__(self, response: SMTPResponse) -> None:
        super().__init__(f"{response.code} {response.message}")
        self.code, self.message = response.code, response.message


def classify(error: Exception, stage: Stage) -> Outcome:
    """What an error at this stage means for the mail."""
    text = f"{stage.name.lower()}: {str(error) or type(error).__name__}"[:300]
    match error:
        case GateClosed():
            return NotSent(text, _NEXT_WINDOW)
        case Refused():
            return refused(error.code, error.message, stage)
        case SMTPResponseException() if error.code >= 400 and stage < Stage.SENT_BODY:
            return refused(error.code, error.message, stage)
        case _ if stage is Stage.SENT_BODY:
            return Unknown(text)
        case _:
            return NotSent(text, misconfigured=_is_ours(error))


def _is_ours(error: Exception) -> bool:
    """Certificates, missing STARTTLS or AUTH: no recipient would fare better until somebody changes a setting."""
    if isinstance(error, SMTPAuthenticationError) or type(error) is SMTPException:
        return True
    return isinstance(error.__cause__ or error, ssl.SSLError)


def refused(code: int, message: str, stage: Stage) -> Outcome:
    text = f"{stage.name.lower()}: {code} {message}"[:300]
    if 400 <= code < 500:
        return Deferred(text, _GREYLISTED) if stage is Stage.RCPT else NotSent(text)
    if not 500 <= code < 600:
        return Unknown(text) if stage is Stage.SENT_BODY else NotSent(text)
    enhanced = _enhanced(message)
    match stage:
        case Stage.CONNECT:
            return NotSent(text, misconfigured=True)
        case Stage.MAIL if code != 552 and not enhanced.endswith(".3.4"):
            return NotSent(text, misconfigured=True)
        case Stage.RCPT:
            return _refused_recipient(code, enhanced, message, text)
        case _:
            return Rejected(text, enhanced or str(code))


def _refused_recipient(code: int, enhanced: str, message: str, text: str) -> Outcome:
    if code == 530 or (enhanced in ("", "5.7.1", "5.7.0") and _RELAYING.search(message)):
        return NotSent(text, misconfigured=True)
    if judge(enhanced, message) is not BounceKind.HARD:
        return Rejected(text, enhanced or str(code))
    reason = SuppressReason.INVALID if enhanced in _INVALID else SuppressReason.BOUNCED
    return Rejected(text, enhanced or str(code), reason)


def _enhanced(message: str) -> str:
    found = _ENHANCED.match(message)
    return found.group(1) if found else ""
