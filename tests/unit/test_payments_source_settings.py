"""How a source speaks is checked when it is set, not when money comes."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.payments.adapters.hmac_webhook import HmacWebhook
from services.payments.domain.ports import Unreadable
from services.payments.domain.source_settings import SourceSettings
from shared.kernel.expressions import found
from tests.contract.webhook_senders import GATEWAY

ADAPTER: TypeAdapter[Any] = TypeAdapter(SourceSettings)


def changed(part: str | None = None, **values: Any) -> dict[str, Any]:
    return {**GATEWAY, part: {**GATEWAY[part], **values}} if part else {**GATEWAY, **values}


@pytest.mark.parametrize(
    "settings",
    [
        changed("mapping", amount="data["),
        changed("mapping", nothing="x"),
        changed("mapping", amount="[@,@]|" * 20 + "length(to_string(@))"),
        changed("signature", signed="{timestamp}"),
        changed("signature", signed="{body}{secret}"),
        changed("signature", timestamp_header=None),
        changed("signature", header="X Signature"),
        changed("signature", algorithm="md5"),
        changed("signature", secret="hex"),
        changed("signature", tolerance=0),
        changed("signature", secret="hex") | {"secrets": [" " * 8]},
        changed(statuses={}),
        changed(statuses={"PAID": "done"}),
        changed(secrets=[]),
        changed(allow=["203.0.113.0/33"]),
        {"kind": "stripe", "secrets": ["sk_live_12345678"]},
        {"kind": "statement", "secrets": ["whsec_12345678"]},
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(settings)


def test_what_works_is_taken_and_headers_are_kept_as_they_come_in() -> None:
    settings = ADAPTER.validate_python(GATEWAY)
    assert settings.signature.header == "x-signature"
    assert ADAPTER.validate_python(settings.model_dump()) == settings


@pytest.mark.parametrize(
    "expression", ["[::0]", "contains('text', `1`)", "length(data)", "nobody_knows(@)", "ceil(to_number(data))"]
)
def test_an_expression_that_makes_nonsense_of_an_answer_finds_nothing(expression: str) -> None:
    assert found(expression, [1]) is None
    assert found(expression, {"data": "1e999"}) in (None, 5)
    assert found(expression, {}) is None


@pytest.mark.parametrize("amount", ["length(nobody)", "[::0]", '`"' + "9" * 40 + '"`'])
def test_a_mapping_that_cannot_read_a_body_says_so(amount: str) -> None:
    gateway = HmacWebhook(ADAPTER.validate_python(changed("mapping", amount=amount, currency='`"EUR"`')))
    with pytest.raises(Unreadable):
        gateway.hear({}, {"notification": {"state": next(iter(GATEWAY["statuses"])), "payment": {"id": "p1"}}}, b"{}")
