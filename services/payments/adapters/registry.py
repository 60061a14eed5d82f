"""Every kind of webhook and every format of statement. A new one is one file and one line here."""

from collections.abc import Callable
from typing import Any

from services.payments.adapters.hmac_webhook import HmacWebhook
from services.payments.adapters.standard_webhook import StandardWebhook
from services.payments.adapters.stripe import Stripe
from services.payments.domain.ports import Webhook
from services.payments.domain.source_settings import HmacSettings, StandardWebhookSettings, StripeSettings

WEBHOOKS: dict[str, Callable[[dict[str, Any]], Webhook]] = {
    "standard_webhook": lambda config: StandardWebhook(StandardWebhookSettings.model_validate(config)),
    "stripe": lambda config: Stripe(StripeSettings.model_validate(config)),
    "hmac": lambda config: HmacWebhook(HmacSettings.model_validate(config)),
}


def webhook_of(kind: str, config: dict[str, Any]) -> Webhook | None:
    """None: a source of this kind sends no webhooks."""
    made = WEBHOOKS.get(kind)
    return made({**config, "kind": kind}) if made else None
