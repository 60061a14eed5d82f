"""Messages about several invoices: every message has words for them in every language, on every channel."""

from datetime import date
from decimal import Decimal

import pytest

from shared.content import Catalog, MessageFacts, OwedInvoice, TemplateSource
from shared.content.catalog import LANGUAGES, builtin_messages

CHANNELS = ("email", "sms", "rcs", "whatsapp", "voice", "push", "http")
INVOICES = tuple(
    OwedInvoice(
        f"2026/{n}", date(2026, 10, n), Decimal("250.50"), currency, f"RF{n}", f"https://pay.example.com/pay/{n}"
    )
    for n, currency in enumerate(("EUR", "EUR", "USD"), 1)
)


def facts(locale: str = "en", invoices: tuple[OwedInvoice, ...] = INVOICES) -> MessageFacts:
    return MessageFacts(
        creditor_name="Acme Ltd",
        email_from="billing@example.com",
        customer_name="Jo Bloggs",
        locale=locale,
        invoice_ref="INV-1",
        invoice_number="2026/1",
        currency="EUR",
        amount=Decimal("250.50"),
        open_amount=Decimal("250.50"),
        issue_date=date(2026, 9, 1),
        due_date=date(2026, 10, 1),
        days_past_due=12,
        payment_reference="RF1",
        pay_url="https://pay.example.com/pay/1",
        opt_out_url="https://pay.example.com/u/x",
        iban="DE02120300000000202051",
        invoices=invoices,
    )


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("message", [*builtin_messages(), "an-operators-own"])
def test_every_message_speaks_of_several_invoices(message: str, channel: str, locale: str):
    made = Catalog().render(message, channel, facts(locale))

    assert "3" in made.subject
    assert "3" in made.text
    assert "{" not in made.text
    assert "501" in made.text, "two in euros"
    assert "751" not in made.text, "never added to the dollars"
    if channel == "email":
        assert made.html is not None
        for invoice in INVOICES:
            assert invoice.number in made.text
            assert invoice.pay_url in made.text
            assert f'href="{invoice.pay_url}"' in made.html


def test_a_short_text_names_count_total_the_oldest_and_its_link():
    short = Catalog().render("overdue", "sms", facts(invoices=INVOICES[:2]))

    assert short.text == (
        "Acme Ltd: 2 invoices, €501.00 in all, the oldest since Oct 1, 2026. We kindly ask you to pay them. "
        "Pay: https://pay.example.com/pay/1"
    )


def test_an_operators_own_text_for_several_comes_before_the_built_in_one():
    catalog = Catalog()
    own = "{% for each in invoices %}{{ each.number }}: {{ each.open_amount }}; {% endfor %}{{ total }}"
    catalog.replace("overdue-several", "sms", "en", TemplateSource("Yours", own))

    assert "2026/1: €250.50; 2026/2: €250.50; 2026/3: $250.50; €501.00 and $250.50" == (
        catalog.render("overdue", "sms", facts()).text.strip()
    )


def test_of_one_invoice_the_words_for_one_speak_and_the_list_has_one():
    catalog = Catalog()
    catalog.replace("overdue", "sms", "en", TemplateSource("Yours", "{{ invoices|length }} {{ total }}"))

    assert "1 €250.50" == catalog.render("overdue", "sms", facts(invoices=())).text.strip()
