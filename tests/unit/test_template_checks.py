"""An operator's text: what is refused, and where it says the fault is; what is good is made ready."""

import pytest

from services.dispatcher.domain.text_checks import Checked, Draft, Fault, check
from shared.content import Catalog, TemplateSource
from shared.content.catalog import LANGUAGES, builtin_messages, builtin_source
from tests.doubles.outgoing import facts

CHANNELS = ("email", "sms", "push", "whatsapp", "rcs", "voice", "http")
MJML = """<mjml>
<mj-head><mj-style>.x{color:#ff0000} @media(max-width:400px){.x{color:blue}}</mj-style></mj-head>
<mj-body><mj-section><mj-column>
<mj-text css-class="x">Dear {{ customer_name }}{% if days_past_due > 0 %}, {{ days_past_due }} days{% endif %}</mj-text>
<mj-button href="{{ pay_url }}">Pay {{ open_amount }}</mj-button>
</mj-column></mj-section></mj-body></mjml>"""


def faults(draft: Draft, channel: str = "email", locale: str = "en") -> list[Fault]:
    found = check(draft, channel, locale)
    return [] if isinstance(found, Checked) else found


def ready(draft: Draft) -> TemplateSource:
    found = check(draft, "email", "en")
    assert isinstance(found, Checked), found
    return found.source


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_text_that_is_built_in_could_be_stored(channel: str, language: str) -> None:
    for message in builtin_messages():
        source = builtin_source(message, channel, language)
        assert source is not None
        assert faults(Draft(source.subject, source.text, source.html), channel, language) == []


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{{ unclosed", "line 1", "unexpected end of template"),
        ("fine\n{{ nme }}", "line 2", "'nme' is not known here; use one of amount,"),
        ("a\nb\n{{ attributes.vat }}", "line 3", "write {{ name|default('') }}"),
        ("{{ days_past_due // 0 }}", "line 1", "cannot be filled in: integer division"),
        ("{{ days_past_due > due_date }}", "line 1", "not supported"),
        ("{{ ''.__class__.__mro__ }}", "line 1", "unsafe"),
        ("{{ 9 ** 9 ** 9 }}", "line 1", "not available"),
        ("{{ 'x'.center(999999999) }}", "line 1", "calls are not available"),
        ("{{ '{:>999999999}'.format(1) }}", "line 1", "calls are not available"),
        ("{% set a = 'x' %}", "line 1", "{% set %} is not available"),
        ("{{ pay_url ~ pay_url }}", "line 1", "side by side"),
        ("{{ pay_url + pay_url }}", "line 1", "side by side"),
        ("\n{% for a in attributes %}{% for b in attributes %}{% endfor %}{% endfor %}", "line 2", "a loop in a loop"),
        ("{% for a in attributes recursive %}{{ a }}{% endfor %}", "line 1", "cannot call itself"),
        ("{% include '/etc/passwd' %}", "line 1", "another template"),
        ("{% macro m() %}{% endmacro %}", "line 1", "macros"),
        ("{{ pay_url|join(pay_url) }}", "line 1", "join"),
        ("{% autoescape false %}{{ customer_name }}{% endautoescape %}", "line 1", "always escaped"),
        ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "", "too deeply nested"),
        ("{% if pay_url %}" * 300 + "{% endif %}" * 300, "", "too deeply nested"),
        ("{{ " + "not " * 20_000 + "1 }}", "", "too deeply nested"),
        ("{{ pay_url" + "|e" * 20_000 + " }}", "", "too deeply nested"),
        ("{{ " + "9" * 10_000 + " }}", "", "too long"),
        ("x" * 50_001, "", "email takes 50000"),
        (" \n ", "", "must say something"),
    ],
)
def test_a_text_that_cannot_be_is_refused_with_its_place(text: str, place: str, reason: str) -> None:
    found = faults(Draft("subject", text))
    assert found
    assert found[0].part == "text"
    assert found[0].detail.startswith(place)
    assert reason in found[0].detail


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("<script>alert(1)</script>", "<script> must not"),
        ('<p onclick="x">hi</p>', "onclick of <p>"),
        ('<a href="javascript:alert(1)">x</a>', "href of <a> must be https://"),
        ('<a href="&#106;avascript:alert(1)">x</a>', "href of <a> must be https://"),
        ('<a href="java\nscript:alert(1)">x</a>', "href of <a> must be https://"),
        ('<a href="data:text/html,x">x</a>', "href of <a> must be https://"),
        ('<a href="{{ attributes.x }}">x</a>', "or one of {{ pay_url }}"),
        ('<a href="https://{{ attributes.x }}/pay">x</a>', "or one of {{ pay_url }}"),
        ('<a href="{% if 1 %}javascript:x{% endif %}">x</a>', "or one of {{ pay_url }}"),
        ("<a {% if 1 %}onclick{% endif %}=x>x</a>", "must not be in a mail"),
        ("<{{ 'script' }}>x", "must not be in a mail"),
        ("<form action=x><input></form>", "<form> must not"),
        ("<iframe src='https://x.test'>", "<iframe> must not"),
        ("<svg onload=x></svg>", "<svg> must not"),
        ("<base href='https://x.test'>", "<base> must not"),
        ("<link rel=stylesheet href='https://x.test'>", "<link> must not"),
        ("<meta http-equiv=refresh content='0;url=https://x.test'>", "<meta> may say"),
        ("<style>@import url(https://x.test)</style>", "must not fetch"),
        ('<p style="background:url(https://x.test)">a</p>', "must not fetch"),
        ('<p style="color:{{ attributes.c }}">a</p>', "must be written out"),
        ("<!--><script>x</script>-->", "in a comment: <script>"),
        ("<!-- --!><script>x</script> -->", "in a comment: <script>"),
        ("<!--[if mso]><script>x</script><![endif]-->", "in a comment: <script>"),
        ("<![CDATA[> <script>x</script> ]]>", "<![ ... ]> must not"),
        ("<p>jinja7held</p>", "'jinja7held' cannot stand in a mail"),
    ],
)
def test_html_that_a_mail_must_not_have_is_refused_and_never_cut(html: str, reason: str) -> None:
    [first, *_] = faults(Draft("s", "t", f"<p>\nfine</p>\n{html}"))
    assert first.part == "html"
    assert first.detail.startswith("line 3: ")
    assert reason in first.detail


@pytest.mark.parametrize(
    ("html", "ready_html"),
    [
        (
            "<style>p{color:red}</style><p>Hi {{ customer_name }}</p>",
            '<style>p{color:red}</style><p style="color: red;">Hi {{ customer_name }}</p>',
        ),
        ("{% if days_past_due > 0 %}<p>a &amp; b</p>{% endif %}", None),
        ('<a href="https://x.test/{{ invoice_number }}">x</a>', None),
        ('<a href="{{ pay_url }}">x</a><img src="{{ logo_url }}" alt="{{ creditor_name }}">', None),
        ("<!--[if mso]><table><tr><td><![endif]--><p>x</p><!--[if mso]></td></tr></table><![endif]-->", None),
    ],
)
def test_good_html_stays_as_it_is_with_its_styles_inlined(html: str, ready_html: str | None) -> None:
    assert ready(Draft("s", "t", html)).html == (ready_html or html)


def test_mjml_becomes_html_that_still_can_be_filled_and_fetches_nothing() -> None:
    html = ready(Draft("s", "t", None, MJML)).html
    assert html is not None
    for kept in (
        "{% if days_past_due > 0 %}",
        'href="{{ pay_url }}"',
        'lang="{{ language }}"',
        "color: #ff0000",
        "@media",
    ):
        assert kept in html
    assert "<mj" not in html
    assert "fonts.googleapis.com" not in html


@pytest.mark.parametrize(
    ("written", "instead", "place", "reason"),
    [
        ('href="{{ pay_url }}"', 'href="javascript:x"', "line 5", "href of <mj-button>"),
        ("<mj-text", "<mj-txt", "line 4", "<mj-txt> is not an MJML element"),
        ("</mj-column>", '<mj-raw><p onclick="x">a</p></mj-raw></mj-column>', "line 6", "onclick of <p>"),
        ("</mj-column>", "", "", "this is no MJML"),
        ("<mj-head>", "<mj-head><mj-include path='/etc/passwd'/>", "line 2", "nothing is fetched"),
        ("<mj-head>", "<mj-head><mj-font name='x' href='https://x.test'/>", "line 2", "nothing is fetched"),
    ],
)
def test_mjml_that_cannot_be_is_refused_with_its_place(written: str, instead: str, place: str, reason: str) -> None:
    [first, *_] = faults(Draft("s", "t", None, MJML.replace(written, instead)))
    assert first.part == "mjml"
    assert first.detail.startswith(place)
    assert reason in first.detail


@pytest.mark.parametrize(
    "draft",
    [
        Draft("s", "t", "<div>" * 30_000),
        Draft("s", "t", "<b>" * 60_000),
        Draft("s", "t", "<table><tr><td>" * 10_000),
        Draft("s", "t", None, f"<mjml><mj-body>{'<mj-section>' * 8_000}{'</mj-section>' * 8_000}</mj-body></mjml>"),
        Draft("s", "t", None, f"<mjml><mj-body>{'<mj-section>' * 1_000}{'</mj-section>' * 1_000}</mj-body></mjml>"),
    ],
    ids=["div", "bold", "table", "sections", "fewer-sections"],
)
def test_nesting_that_would_end_the_process_is_refused_before_a_library_sees_it(draft: Draft) -> None:
    assert "send a shorter mail" in faults(draft)[0].detail


def test_nesting_below_that_is_survived() -> None:
    assert (ready(Draft("s", "t", "<div>" * 2_900 + "x")).html or "").endswith("</div>")
    sections = f"<mjml><mj-body>{'<mj-section>' * 290}{'</mj-section>' * 290}</mj-body></mjml>"
    assert check(Draft("s", "t", None, sections), "email", "en") != [
        Fault("mjml", "has more than 600 MJML elements; send a shorter mail")
    ]


def test_what_is_filled_in_stays_text() -> None:
    html = ready(
        Draft("s", "t", "<p>{{ '<b>' }}{{ customer_name }}{% for a in attributes %}{{ loop.index }}{% endfor %}</p>")
    ).html
    catalog = Catalog()
    catalog.replace("this", "email", "en", TemplateSource("s", "t", html))
    rendered = catalog.render("this", "email", facts(locale="en", customer_name="<img src=x>"))
    assert rendered.html == "<p>&lt;b&gt;&lt;img src=x&gt;</p>\n"


def test_what_a_channel_does_not_take_is_refused() -> None:
    assert faults(Draft("s", "t", "<p>x</p>"), "sms") == [
        Fault("html", "the channel 'sms' shows no html; leave it out")
    ]
    assert faults(Draft("", "t")) == [Fault("subject", "is required for an email")]
    assert faults(Draft("", "t"), "sms") == []
    assert faults(Draft("", "x" * 700), "sms") == [
        Fault("text", "is billed as 5 texts with example data; at most 4 are sent")
    ]
    assert faults(Draft("", "ж" * 300), "sms") == [
        Fault("text", "is billed as 5 texts with example data; at most 4 are sent")
    ]
    assert faults(Draft("", "x" * 501), "push") == [
        Fault("text", "has 502 characters with example data; push takes 500")
    ]


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\u2028", "\x85"])
def test_a_subject_is_one_line(break_: str) -> None:
    assert faults(Draft(f"Hello{break_}Bcc: x@x.test", "t")) == [
        Fault("subject", "must be one line, without a line break")
    ]


def test_all_faults_are_told_at_once() -> None:
    found = faults(Draft("a\nb", "{{ x }}{{ y }}", "<script>"))
    assert [fault.part for fault in found] == ["subject", "html", "text", "text"]
