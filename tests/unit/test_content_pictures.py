"""What a mail carries its html shows, and the other way round, read back by the standard library."""

import re
from decimal import Decimal
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from hashlib import sha256
from typing import Any, cast

import pytest

from shared.content import (
    Attachment,
    Catalog,
    OwedInvoice,
    Picture,
    Rendered,
    TemplateSource,
    build_mail,
    compile_template,
)
from shared.content.catalog import LANGUAGES, builtin_messages
from shared.content.several import for_several
from tests.doubles.outgoing import facts
from tests.doubles.pictures import picture, png
from tests.unit.test_content_mime import HEADERS, on_the_wire

BANNER, LOGO = picture(), picture("acme", png(4, 4), version=5)
EUROS: dict[str, Any] = {"currency": "EUR", "amount": Decimal("12.5"), "open_amount": Decimal("12.50")}
FILE = Attachment("a.pdf", "application/pdf", b"%PDF", "f1")


def catalog(html: str, text: str = "t") -> Catalog:
    made = Catalog()
    made.replace("overdue", "email", "es", TemplateSource("s", text, html), 3)
    return made


def rendered(html: str, acme: Picture = LOGO, **changes: Any) -> Rendered:
    made = catalog(html)
    made.pictures.update(banner=BANNER, acme=acme)
    return made.render("overdue", "email", facts(**changes))


def shape(part: EmailMessage) -> Any:
    if not part.is_multipart():
        return part.get_content_type()
    return part.get_content_type().removeprefix("multipart/"), [shape(cast(EmailMessage, p)) for p in part.iter_parts()]


def parsed(mail: bytes) -> EmailMessage:
    on_the_wire(mail)
    message = message_from_bytes(mail, policy=default)
    assert [] == [part.defects for part in message.walk() if part.defects]
    return message


TEXT, PAGE = "text/plain", "text/html"


@pytest.mark.parametrize(
    ("pictures", "file", "html", "expected"),
    [
        (0, None, None, TEXT),
        (0, None, "<p>x</p>\n", ("alternative", [TEXT, PAGE])),
        (1, None, "<p>x</p>\n", ("alternative", [TEXT, ("related", [PAGE, "image/png"])])),
        (2, None, "<p>x</p>\n", ("alternative", [TEXT, ("related", [PAGE, "image/png", "image/png"])])),
        (
            1,
            FILE,
            "<p>ñ</p>\n",
            ("mixed", [("alternative", [TEXT, ("related", [PAGE, "image/png"])]), "application/pdf"]),
        ),
        (0, FILE, None, ("mixed", [TEXT, "application/pdf"])),
    ],
)
def test_a_mail_has_the_levels_that_it_needs_and_no_other(
    pictures: int, file: Attachment | None, html: str | None, expected: Any
) -> None:
    mail = build_mail(HEADERS, Rendered("s", "text\n", html, pictures=(BANNER, LOGO)[:pictures]), file)
    assert expected == shape(parsed(mail))


def test_a_picture_arrives_as_it_is_under_the_name_that_the_html_shows() -> None:
    made = rendered('<p><img src="cid:banner" alt="Sale"> and <img src="cid:banner" alt="again"></p>')
    message = parsed(build_mail(HEADERS, made, FILE))

    page, image = [part for part in message.walk() if part.get_content_type() in (PAGE, "image/png")]
    assert image["Content-ID"] == f"<{BANNER.content_id}>"
    assert page.get_content().count(f'src="cid:{BANNER.content_id}"') == 2
    assert (image.get_content(), image.get_content_disposition(), image.get_filename()) == (
        BANNER.content,
        "inline",
        "banner.png",
    )
    [related] = [part for part in message.walk() if part.get_content_type() == "multipart/related"]
    assert related.get_param("type") == "text/html"
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.pdf"]
    assert made.wording == "overdue/email/es@3 banner@1"


def test_a_large_picture_comes_in_lines_of_76() -> None:
    large = picture("large", png(more=bytes(range(256)) * 900))
    mail = build_mail(HEADERS, Rendered("s", "t\n", "<p>x</p>\n", pictures=(large,)))

    [image] = [part for part in parsed(mail).walk() if part.get_content_type() == "image/png"]
    assert image.get_content() == large.content
    *lines, last = str(image.get_payload()).split("\n")
    assert {76} == {len(line.rstrip("\r")) for line in lines}
    assert len(last) <= 76


def test_what_an_if_leaves_out_is_not_carried() -> None:
    html = '{% if days_past_due > 9 %}<img src="cid:banner" alt="">{% endif %}<p>x</p>'
    assert rendered(html).pictures == ()
    assert rendered(html, days_past_due=10).pictures == (BANNER,)


def test_two_names_of_one_picture_are_carried_once() -> None:
    html = '<img src="cid:banner" alt=""><img src="cid:logo" alt="">'
    made = rendered(html, picture("acme", BANNER.content), logo="acme")
    assert [one.content_id for one in made.pictures] == [BANNER.content_id]


@pytest.mark.parametrize(
    "image",
    [
        '<img alt="{{ creditor_name }} > all" src="cid:logo">',
        "<IMG src=\"cid:logo\"\nalt='{{ creditor_name }} > all'/>",
    ],
)
def test_without_its_logo_a_text_says_its_words(image: str) -> None:
    html = f'<p>{image}<img src="https://x.test/a.png"></p>{{% if logo %}}with{{% else %}}without{{% endif %}}.'
    bare = rendered(html, creditor_name='A"<b>&')
    assert bare.html == '<p>A&#34;&lt;b&gt;&amp; > all<img src="https://x.test/a.png"></p>without.\n'
    assert (bare.pictures, bare.wording) == ((), "overdue/email/es@3")

    made = rendered(html, logo="acme")
    assert made.pictures == (LOGO,)
    assert f'src="cid:{LOGO.content_id}"' in (made.html or "")
    assert (made.html or "").endswith("with.\n")
    assert made.wording == "overdue/email/es@3 acme@5"


def test_data_names_no_picture() -> None:
    made = rendered(
        '<img src="cid:banner" alt="">{{ customer_name }}', customer_name='<img src="cid:logo">', logo="acme"
    )
    assert made.pictures == (BANNER,)


CODE = '{% if payment_code %}<p>Scan</p>{% endif %}<img src="cid:payment-code" alt="Code">'


def test_a_payment_code_is_drawn_for_each_mail_of_what_it_asks_for() -> None:
    one, other = (rendered(CODE, **{**EUROS, "open_amount": Decimal(amount)}) for amount in ("12.50", "12.51"))
    [code], [another] = one.pictures, other.pictures
    assert code.content.startswith(b"\x89PNG\r\n\x1a\n")
    assert code.digest == sha256(code.content).hexdigest() != another.digest
    assert len(code.content) < 1_000
    assert "<p>Scan</p>" in (one.html or "")
    assert one.wording == "overdue/email/es@3"
    message = parsed(build_mail(HEADERS, one))
    assert [code.content] == [part.get_content() for part in message.walk() if part.get_content_type() == "image/png"]


@pytest.mark.parametrize(
    "changes",
    [
        {"iban": None},
        {"currency": "COP"},
        {"iban": "CR05015202001026284066"},
        {"open_amount": Decimal(0)},
        {"open_amount": Decimal(1000000000)},
    ],
)
def test_where_no_code_can_be_nothing_of_it_is_seen(changes: dict[str, Any]) -> None:
    made = rendered(f"<p>a</p>{CODE}", **{**EUROS, **changes})
    assert (made.html, made.pictures) == ("<p>a</p>\n", ())


def test_a_mail_for_several_invoices_has_its_logo_and_no_code() -> None:
    made = Catalog()
    made.replace(for_several("overdue"), "email", "es", TemplateSource("s", "t", f'<img src="cid:logo" alt="">{CODE}'))
    owed = [OwedInvoice(number, None, Decimal(1), "EUR", number, "https://x.test") for number in ("1", "2")]
    made.pictures["acme"] = LOGO
    shown = made.render("overdue", "email", facts(**EUROS, invoices=tuple(owed), logo="acme"))
    assert shown.pictures == (LOGO,)
    assert "Scan" not in (shown.html or "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_built_in_mails_show_the_creditors_logo_and_are_as_they_were_without(language: str) -> None:
    for message in (*builtin_messages(), for_several("overdue")):
        made = Catalog()
        made.pictures["acme"] = LOGO
        bare, linked, carried = (
            made.render(message, "email", facts(locale=language, **changes))
            for changes in ({}, {"logo_url": "https://x.test/logo.png"}, {"logo_url": "https://x.test", "logo": "acme"})
        )
        assert (bare.pictures, linked.pictures, carried.pictures) == ((), (), (LOGO,))
        sources = [re.findall(r'<img src="([^"]*)"', one.html or "") for one in (bare, linked, carried)]
        assert sources == [[], ["https://x.test/logo.png"], [f"cid:{LOGO.content_id}"]]


@pytest.mark.parametrize(
    ("html", "first"),
    [
        ('{% if logo %}<img src="cid:logo" alt="">{% elif logo_url %}x{% endif %}', True),
        ('{% if logo %}<p>{% if iban %}a{% endif %}<img src="cid:logo" alt=""></p>{% endif %}', False),
        ('{% if logo %}a{% else %}<img src="cid:banner" alt="">{% endif %}', False),
        ('{% if logo %}<img src="cid:logo" alt="">{% endif %}<img src="cid:logo" alt="">', False),
        ('{% if not logo %}<img src="cid:logo" alt="">{% endif %}', False),
    ],
)
def test_only_a_text_that_asks_for_the_logo_first_is_spared_the_search(html: str, first: bool) -> None:
    assert compile_template(TemplateSource("s", "t", html)).asks_first is first
    assert "src=" not in (rendered(html).html or "").replace(BANNER.content_id, "").replace('src="cid:"', "")


def test_what_takes_long_to_draw_is_known_before() -> None:
    assert catalog(CODE).draws("overdue", "email", "es-CO")
    assert not catalog('<img src="cid:logo" alt="">').draws("overdue", "email", "es-CO")
    assert not Catalog().draws("nothing-of-this-name", "email", "es")


def test_a_picture_shows_its_bytes_to_no_log() -> None:
    assert "PNG" not in repr(Picture("a.png", "image/png", png(), "0"))
