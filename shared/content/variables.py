"""The names that a template may use, with their values already written in the reader's language.

All are plain strings, numbers or None, so that a template needs no filter and no attribute access: that is
what makes rendering fast and the sandbox small. `attributes` is the caller's own JSON; `invoices` is a list of mappings
of such values, of one where the message is about one.
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from shared.content.facts import MessageFacts, OwedInvoice, one_line, web_address
from shared.content.formats import both, day, money, spoken_money

Write = Callable[[Decimal, str, str], str]


class DateStyle(StrEnum):
    LONG = "long"
    MEDIUM = "medium"


def variables(
    facts: MessageFacts, locale: str, style: DateStyle, channel_names: Mapping[str, str], *, spoken: bool = False
) -> dict[str, Any]:
    """The mapping handed to a template; `locale` is that of the text, which may differ from the customer's."""
    write = spoken_money if spoken else money
    known = _of_one(facts, locale, style, channel_names, write)
    known["invoices"] = [_listed(each, locale, style, write) for each in facts.invoices] or [_only(known)]
    known["total"] = _total(facts, locale, write) if facts.invoices else known["open_amount"]
    return known


def _only(known: Mapping[str, Any]) -> dict[str, Any]:
    same = ("due_date", "open_amount", "payment_reference", "pay_url", "document_url")
    return {"number": known["invoice_number"], **{name: known[name] for name in same}}


def _listed(invoice: OwedInvoice, locale: str, style: DateStyle, write: Write) -> dict[str, Any]:
    return {
        "number": one_line(invoice.number),
        "due_date": _day_or_none(invoice.due_date, style, locale),
        "open_amount": write(invoice.open_amount, invoice.currency, locale),
        "payment_reference": one_line(invoice.payment_reference),
        "pay_url": web_address(invoice.pay_url),
        "document_url": web_address(invoice.document_url),
    }


def _total(facts: MessageFacts, locale: str, write: Write) -> str:
    """One sum for each currency: what is owed in two of them is never added."""
    sums: dict[str, Decimal] = {}
    for invoice in facts.invoices:
        sums[invoice.currency] = sums.get(invoice.currency, Decimal(0)) + invoice.open_amount
    return both([write(amount, currency, locale) for currency, amount in sums.items()], locale)


def _of_one(
    facts: MessageFacts, locale: str, style: DateStyle, channel_names: Mapping[str, str], write: Write
) -> dict[str, Any]:
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
        "logo": False,  # whether the html shows one: known to who renders it
        "payment_code": False,
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
