"""One message ready to go, with what a test wants to differ."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from time import monotonic
from typing import Any

from services.dispatcher.domain.ports import Gate, Outgoing
from shared.content import MessageFacts, Rendered

FACTS = MessageFacts(
    creditor_name="Ferretería Ñandú S.A.",
    email_from="billing@nandu.test",
    customer_name="Ana Pérez",
    locale="es-CO",
    invoice_ref="INV-1",
    invoice_number="F-2026/001",
    currency="COP",
    amount=Decimal("1250000.00"),
    open_amount=Decimal("1250000.00"),
    issue_date=date(2026, 11, 1),
    due_date=date(2026, 12, 1),
    days_past_due=3,
    payment_reference="RF18539007547034",
    pay_url="https://pay.nandu.test/pay/abcdefghijklmnopqrstuv",
    opt_out_url="https://pay.nandu.test/u/abcdefghijklmnopqrstuv",
    reply_to="help@nandu.test",
    sms_from="+15005550006",
    iban="ES9121000418450200051332",
    document_url="https://pay.nandu.test/pay/abcdefghijklmnopqrstuv/document",
)


def facts(**changes: Any) -> MessageFacts:
    return replace(FACTS, **changes)


def outgoing(to_address: str, **changes: Any) -> Outgoing:
    made = Outgoing(
        attempt_id="12.1",
        message_id="<r12.5@dunnock.test>",
        to_address=to_address,
        facts=FACTS,
        rendered=Rendered("Su factura", "Hola\n.punto\n", "<p>Hola</p>\n"),
        return_path="b+12.1.abcdefghijklmnop@bounce.test",
        callback_url="http://127.0.0.1:1/v1/receipts",
        sent_at=datetime(2026, 12, 4, 14, 0, tzinfo=UTC),
        message="overdue",
    )
    return replace(made, **changes)


def open_gate(window: float = 60.0, timeout: float | None = None) -> Gate:
    return Gate(monotonic(), window, 0.0, timeout)


def closed_gate() -> Gate:
    return Gate(claimed_at=monotonic() - 10.0, window=2.0, margin=1.0)
