"""Calls to URLs that somebody wrote into Dunnock: checked when saved (`Guard.check_url`), guarded when called (`guarded_client`)."""

from shared.outgoing.allowed import LOOPBACK, Allowed, OutgoingSettings
from shared.outgoing.guard import Guard, HostNotFound, TargetRefused, system_resolve
from shared.outgoing.transport import AnswerPacked, AnswerTooLarge, AnswerTooSlow, guarded_client, public_certificates

__all__ = [
    "LOOPBACK",
    "Allowed",
    "AnswerPacked",
    "AnswerTooLarge",
    "AnswerTooSlow",
    "Guard",
    "HostNotFound",
    "OutgoingSettings",
    "TargetRefused",
    "guarded_client",
    "public_certificates",
    "system_resolve",
]
