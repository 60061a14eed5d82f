"""A text that shows pictures: what is refused when it is saved, and with which place."""

import pytest

from services.dispatcher.domain.picture_limits import MOST_BYTES, MOST_CARRIED
from services.dispatcher.domain.text_checks import Checked, Draft, Fault, check
from shared.content.pictures import named_in
from tests.doubles.pictures import picture, png

PICTURES = {"banner": picture(), **{name: picture(name, png(more=bytes(200_000))) for name in ("a", "b", "c")}}
MJML = """<mjml><mj-body><mj-section><mj-column>
<mj-text>Dear {{ customer_name }}</mj-text>
<mj-image src="cid:banner" alt="A banner" />
</mj-column></mj-section></mj-body></mjml>"""


def faults(draft: Draft) -> list[Fault]:
    found = check(draft, "email", "en", pictures=PICTURES)
    return [] if isinstance(found, Checked) else found


def ready(draft: Draft) -> str:
    found = check(draft, "email", "en", pictures=PICTURES)
    assert isinstance(found, Checked), found
    return found.source.html or ""


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ('<img src="cid:banana" alt="x">', "there is no picture 'banana': PUT /v1/pictures/banana first"),
        ('<img src="&#99;id:banana" alt="x">', "there is no picture 'banana'"),
        ('<img src="cid:banner">', '<img src="cid:..."> needs an alt'),
        ('<img src="cid:logo">', '<img src="cid:..."> needs an alt'),
        ('<img src="cid:{{ attributes.x }}" alt="x">', "written out, such as cid:banner"),
        ('<img src="cid:Banner" alt="x">', "written out, such as cid:banner"),
        ('<img src="CID:banner" alt="x">', "written out, such as cid:banner"),
        ('<img src="cid:banner@x.test" alt="x">', "written out, such as cid:banner"),
        ('<img src="cid:" alt="x">', "written out, such as cid:banner"),
        ('<img src=" cid:banner" alt="x">', "or cid: and the name of a picture"),
        ('<img src="data:image/png;base64,AAAA" alt="x">', "or cid: and the name of a picture"),
        ('<img src="{{ attributes.x }}" alt="x">', "or cid: and the name of a picture"),
        ('<img srcset="cid:banner 2x" alt="x">', "srcset of <img>"),
        ('<a href="cid:banner">x</a>', "href of <a> must be https://"),
        ('<p style="background:url(cid:banner)">x</p>', "must not fetch"),
        ('<table background="cid:banner"><tr><td>x</td></tr></table>', "background of <table>"),
        ('<!--[if mso]><img src="cid:banner"><![endif]-->', "in a comment: <img src="),
    ],
)
def test_a_picture_that_cannot_be_shown_is_refused_with_its_place(html: str, reason: str) -> None:
    [first, *_] = faults(Draft("s", "t", f"<p>\nfine</p>\n{html}"))
    assert first.part == "html"
    assert reason in first.detail
    assert first.detail.startswith("line 3: ") or "&#" in html


@pytest.mark.parametrize(
    ("written", "instead", "place", "reason"),
    [
        ("cid:banner", "cid:banana", "line 3: ", "there is no picture 'banana'"),
        (' alt="A banner"', "", "line 3: ", "<mj-image src="),
        ("<mj-section>", '<mj-section background-url="cid:banner">', "line 1: ", "background-url of <mj-section>"),
    ],
)
def test_so_is_one_in_mjml(written: str, instead: str, place: str, reason: str) -> None:
    [first, *_] = faults(Draft("s", "t", None, MJML.replace(written, instead)))
    assert first.part == "mjml"
    assert first.detail.startswith(place)
    assert reason in first.detail


def test_what_a_mail_would_carry_too_much_of_is_refused() -> None:
    three = "".join(f'<img src="cid:{name}" alt="">' for name in "abc")
    assert faults(Draft("s", "t", three)) == [
        Fault("html", "its pictures have 586 KiB together; a mail carries 512 KiB at most")
    ]
    with_logo = '<img src="cid:logo" alt=""><img src="cid:a" alt=""><img src="cid:b" alt="">'
    assert "with a logo counted as 256 KiB" in faults(Draft("s", "t", with_logo))[0].detail
    assert faults(Draft("s", "t", '<img src="cid:a" alt="">' * 9 + '<img src="cid:logo" alt="">')) == []
    assert 2 * MOST_BYTES <= MOST_CARRIED, "a logo and one picture of any size go together"


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:banner" alt="">',
        "<img src='cid:banner' alt='x'>",
        "<img src=cid:banner alt>",
        "<!--[if mso]><img src='cid:banner' alt=\"\"><![endif]--><p>x</p>",
        "<!--[if mso]><img alt='' src=cid:banner><![endif]--><p>x</p>",
        '<IMG ALT="x" SRC="cid:banner"/>',
    ],
)
def test_however_it_is_written_a_picture_is_found(html: str) -> None:
    assert named_in(ready(Draft("s", "t", html))) == ("banner",)


def test_mjml_shows_pictures_and_the_made_ones_are_always_there() -> None:
    assert named_in(ready(Draft("s", "t", None, MJML))) == ("banner",)
    made = MJML.replace("cid:banner", "cid:logo") + ""
    assert named_in(ready(Draft("s", "t", None, made))) == ("logo",)
    code = '{% if payment_code %}<p>Scan:</p>{% endif %}<img src="cid:payment-code" alt="Code for your banking app">'
    assert named_in(ready(Draft("s", "t", code))) == ("payment-code",)
