"""Every kind of webhook and every format of statement. A new one is one file and one line here."""

import re
from collections.abc import Callable
from typing import Any

from services.payments.adapters.camt import Camt
from services.payments.adapters.hmac_webhook import HmacWebhook
from services.payments.adapters.mt940 import Mt940
from services.payments.adapters.standard_webhook import StandardWebhook
from services.payments.adapters.stripe import Stripe
from services.payments.domain.ports import Webhook
from services.payments.domain.source_settings import HmacSettings, StandardWebhookSettings, StripeSettings
from services.payments.domain.statement import StatementReader, WrongFile

WEBHOOKS: dict[str, Callable[[dict[str, Any]], Webhook]] = {
    "standard_webhook": lambda config: StandardWebhook(StandardWebhookSettings.model_validate(config)),
    "stripe": lambda config: Stripe(StripeSettings.model_validate(config)),
    "hmac": lambda config: HmacWebhook(HmacSettings.model_validate(config)),
}
STATEMENTS: dict[str, type[StatementReader]] = {"camt": Camt, "mt940": Mt940}

_OTHERS = {
    rb"%PDF-": "a PDF",
    rb"PK\x03\x04": "a ZIP archive or an Office document: send what is inside it, one file at a time",
    rb"\x1f\x8b": "gzip: unpack it first",
    rb"\xd0\xcf\x11\xe0": "an old Office document",
    rb"OFXHEADER": "OFX, which is not read here yet",
    rb"(01|02|03),": "BAI2, which is not read here yet",
    rb"[\[{]": "JSON: a webhook or POST /v1/payments takes that",
    rb"[^\n]{0,500}[;,\t][^\n]{0,500}[;,\t][^\n]*\n": "a table (CSV): export camt.053 or MT940 instead",
}


def webhook_of(kind: str, config: dict[str, Any]) -> Webhook | None:
    """None: a source of this kind sends no webhooks."""
    made = WEBHOOKS.get(kind)
    return made({**config, "kind": kind}) if made else None


def reader_of(head: bytes) -> StatementReader:
    """By the first kilobytes of a file; WrongFile names what it seems to be instead."""
    for reader in STATEMENTS.values():
        if reader.recognises(head):
            return reader()
    plain = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    seems = next((name for pattern, name in _OTHERS.items() if re.match(pattern, plain)), None)
    said = f"it seems to be {seems}" if seems else "it is empty" if not plain else "it is nothing that is known here"
    raise WrongFile(f"this is not a bank statement in camt.052, camt.053, camt.054, MT940 or MT942: {said}")
