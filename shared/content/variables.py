"""The names that a template may use, with their values already written in the reader's language.

All are plain strings, numbers or None, so that a template needs no filter and no attribute access: that is
what makes rendering fast and the sandbox small. `attributes` is the caller's own JSON.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any

from shared.content.facts import MessageFacts, one_line, web_address
from shared.content.formats import day, money, spoken_money


class DateStyle(StrEnum):
    LONG = "long"
    MEDIUM = "medium"


def variables(
    facts: MessageFacts, locale: str, style: DateStyle, channel_names: Mapping[str, str], *, spoken: bool = False
) -> dict[str, Any]:
    """The mapping handed to a template; `locale` is that of the text, which may differ from the customer's."""
    write = spoken_money if spoken else money
    return {
        "language": locale,
        "creditor_name": one_line(facts.creditor_name),
        "customer_name": one_line(facts.customer_name),
        "invoice_ref": one_line(facts.invoice_ref),
        "invoice_number": one_line(facts.invoice_number),
        "currency": facts.currency,
        "amount": write(facts.amount, facts.currency, locale),
        "open_amount": write(facts.open_amount, facts.currency, locale),
        "partly_paid": facts.open_amount != facts.amount,
        "issue_date": day(facts.issue_date, style, locale),
        "due_date": _day_or_none(facts.due_date, style, locale),
        "days_past_due": facts.days_past_due,
        "installment_no": facts.installment_no,
        "installment_count": facts.installment_count,
        "payment_reference": one_line(facts.payment_reference),
        "pay_url": web_address(facts.pay_url),
        "document_url": web_address(facts.document_url),
        "opt_out_url": web_address(facts.opt_out_url),
        "logo_url": web_address(facts.logo_url),
        "iban": one_line(facts.iban or ""),
        "bic": one_line(facts.bic or ""),
        "fallback_from": facts.fallback_from,
        "fallback_channel": _channel_name(facts.fallback_from, channel_names),
        "attributes": facts.attributes or {},
    }


def _day_or_none(value: date | None, style: DateStyle, locale: str) -> str | None:
    return None if value is None else day(value, style, locale)


def _channel_name(channel: str | None, names: Mapping[str, str]) -> str | None:
    return None if channel is None else names.get(channel, channel)
