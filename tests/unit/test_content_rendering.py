"""What messages say: languages, tone of the facts, and text from outside that stays text."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from babel.numbers import format_currency
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from shared.content import Catalog, TemplateRefused, TemplateSource
from shared.content.catalog import LANGUAGES, UnknownMessage, builtin_messages
from shared.content.formats import money, spoken_money
from shared.flow import shipped
from tests.doubles.outgoing import FACTS, facts

CATALOG = Catalog()
MESSAGES = ("invoice", "upcoming", "due-today", "overdue", "delinquent-call", "last-reminder", "promise-broken", "pay-link",
            "thank-you")  # fmt: skip
CHANNELS = ("email", "sms", "push", "whatsapp", "rcs", "voice", "http")


def test_every_message_of_the_shipped_flows_is_built_in() -> None:
    named = {step.message for flow in shipped().values() for step in flow.steps if step.message}
    followers = {step.then.message for flow in shipped().values() for step in flow.steps if step.then}
    assert set(MESSAGES) == set(builtin_messages()) == named | followers


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("fallback_from", [None, "email"])
def test_every_text_renders_with_all_and_with_the_fewest_facts(
    message: str, channel: str, language: str, fallback_from: str | None
) -> None:
    few = facts(
        locale=language,
        due_date=None,
        iban=None,
        document_url=None,
        customer_name="",
        reply_to=None,
        fallback_from=fallback_from,
    )
    for given_facts in (facts(locale=language, fallback_from=fallback_from), few):
        rendered = CATALOG.render(message, channel, given_facts)

        assert rendered.subject
        assert "F-2026/001" in rendered.subject + rendered.text
        assert "{" not in rendered.text.replace("{font", "")
        assert "None" not in rendered.text + (rendered.html or "")
        assert (rendered.html is not None) == (channel == "email")


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("es-CO", "Recordatorio: la factura F-2026/001 sigue pendiente"),
        ("es", "Recordatorio: la factura F-2026/001 sigue pendiente"),
        ("pt-BR", "Lembrete: a fatura F-2026/001 continua em aberto"),
        ("en-GB", "Reminder: invoice F-2026/001 is still open"),
        ("de-DE", "Reminder: invoice F-2026/001 is still open"),
        ("not a locale", "Reminder: invoice F-2026/001 is still open"),
    ],
)
def test_the_language_falls_back_from_region_to_language_to_default(locale: str, subject: str) -> None:
    assert subject == CATALOG.render("overdue", "email", facts(locale=locale)).subject


def test_the_default_language_is_the_deployments() -> None:
    assert "Recordatorio" in Catalog("es").render("overdue", "email", facts(locale="de-DE")).subject


def test_an_unknown_message_names_those_that_exist() -> None:
    with pytest.raises(UnknownMessage, match=r"no text for channel 'email'.*invoice, upcoming"):
        CATALOG.render("overdeu", "email", FACTS)


def test_the_email_has_the_pay_button_the_transfer_data_and_the_way_out() -> None:
    rendered = CATALOG.render("due-today", "email", FACTS)

    assert rendered.html is not None
    assert f'<a class="pay" href="{FACTS.pay_url}">' in rendered.html
    for part in (rendered.text, rendered.html):
        assert "ES9121000418450200051332" in part
        assert "RF18539007547034" in part
        assert FACTS.opt_out_url in part
        assert "$1.250.000,00" in part


def test_without_an_iban_no_transfer_is_offered() -> None:
    assert "IBAN" not in CATALOG.render("due-today", "email", facts(iban=None)).text


def test_thanks_ask_for_nothing() -> None:
    rendered = CATALOG.render("thank-you", "email", FACTS)

    assert FACTS.pay_url + "\n" not in rendered.text
    assert 'class="pay"' not in (rendered.html or "")
    assert "IBAN" not in rendered.text


def test_an_sms_in_place_of_a_bounced_mail_says_so_and_links_invoice_and_pay_page() -> None:
    text = CATALOG.render("invoice", "sms", facts(locale="en", fallback_from="email")).text

    assert "our email about invoice F-2026/001 did not reach you" in text
    assert FACTS.pay_url in text
    assert str(FACTS.document_url) in text
    assert FACTS.pay_url not in CATALOG.render("delinquent-call", "voice", FACTS).text


def test_an_sms_has_no_spaces_that_make_it_dearer() -> None:
    text = CATALOG.render("overdue", "sms", facts(currency="EUR", locale="es")).text

    assert "1.250.000,00 €" in text
    assert text.isprintable()


def test_markup_and_templates_in_names_are_inert() -> None:
    evil = facts(
        customer_name="<script>alert(1)</script>{{ 7*7 }}",
        invoice_number="{% raw %}1\r\nBcc: x",
        pay_url="javascript:alert(1)",
        logo_url='https://x.test/"onerror="x',
    )

    rendered = CATALOG.render("overdue", "email", evil)

    assert rendered.html is not None
    assert "<script>" not in rendered.html
    assert "&lt;script&gt;" in rendered.html
    assert "{{ 7*7 }}" in rendered.text
    assert "\n" not in rendered.subject
    assert "javascript:" not in rendered.html
    assert '"onerror' not in rendered.html


@pytest.mark.parametrize("bad", ["\r\n", "\n", "\x00", "\u2028", "\u202e", "\ud800"])
def test_breaks_and_direction_tricks_in_facts_become_spaces(bad: str) -> None:
    rendered = CATALOG.render("invoice", "email", facts(customer_name=f"Ana{bad}Pérez"))

    assert "Ana Pérez" in rendered.text


def test_an_operators_text_replaces_the_built_in_one_for_its_locale_only() -> None:
    catalog = Catalog()
    catalog.replace("overdue", "email", "es-CO", TemplateSource("Ojo {{ invoice_number }}", "{{ attributes.vat }}"))

    assert "Ojo F-2026/001" == catalog.render("overdue", "email", facts(attributes={"vat": "9"})).subject
    assert "Recordatorio" in catalog.render("overdue", "email", facts(locale="es-MX")).subject
    with pytest.raises(TemplateError, match="no attribute 'vat'"):
        catalog.render("overdue", "email", FACTS)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'x' * 999999999 }}",
        "{{ invoice_number.__init__.__globals__ }}",
        "{{ nothing_of_this_name }}",
    ],
)
def test_a_text_that_reaches_outside_fails_instead_of_rendering(source: str) -> None:
    catalog = Catalog()
    catalog.replace("overdue", "sms", "es", TemplateSource("s", source))

    with pytest.raises(TemplateError):
        catalog.render("overdue", "sms", facts(locale="es"))


@pytest.mark.parametrize(
    "source", ["{{ unclosed", "{% for %}", "{{ 1|center(99) }}", "{% include 'x' %}{% endif %}", "x" * 200_001]
)
def test_a_faulty_text_is_refused_when_stored_and_changes_nothing(source: str) -> None:
    catalog = Catalog()

    with pytest.raises(TemplateRefused, match="text"):
        catalog.replace("overdue", "email", "es", TemplateSource("ok", source))
    assert "Recordatorio" in catalog.render("overdue", "email", FACTS).subject


@pytest.mark.parametrize("currency", ["EUR", "USD", "JPY", "TND"])
@pytest.mark.parametrize("locale", ["es-CO", "es", "pt-BR", "de-CH", "fr", "en-IN", "hi", "ar"])
@settings(max_examples=25)
@given(amount=st.decimals(min_value=0, max_value=Decimal("99999999.99"), places=2))
def test_money_reads_as_babel_writes_it(currency: str, locale: str, amount: Decimal) -> None:
    theirs = format_currency(amount, currency, locale=locale.replace("-", "_"))

    assert theirs.replace("\u00a0", "") == money(amount, currency, locale).replace("\u00a0", "")


def test_a_currency_code_stands_apart_from_its_digits() -> None:
    assert "COP\u00a01,234.50" == money(Decimal("1234.5"), "COP", "en")


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "said"),
    [
        ("480.50", "EUR", "en", "480 euros and 50 cents"),
        ("1250.01", "GBP", "en-GB", "1250 British pounds and 1 penny"),
        ("1250000.0000", "COP", "es-CO", "1250000 pesos colombianos"),
        ("1250.50", "MXN", "es-MX", "1250 pesos mexicanos con 50 centavos"),
        ("1.01", "EUR", "es-ES", "1 euro con 1 céntimo"),
        ("1250.50", "BRL", "pt-BR", "1250 Reais brasileiros e 50 centavos"),
        ("0.50", "EUR", "pt", "50 cêntimos"),
        ("1250", "JPY", "en", "1250 Japanese yen"),
        ("1.234", "KWD", "en", "1.234 Kuwaiti dinars"),
        ("1250.50", "EUR", "de", "1250,50 Euro"),
    ],
)
def test_an_amount_is_said_without_points_and_commas_that_a_voice_may_take_for_others(
    amount: str, currency: str, locale: str, said: str
) -> None:
    assert said == spoken_money(Decimal(amount), currency, locale)


def test_dates_are_written_in_the_readers_language() -> None:
    text = CATALOG.render("overdue", "email", replace(FACTS, locale="pt", due_date=date(2026, 12, 1))).text

    assert "1 de dezembro de 2026" in text
