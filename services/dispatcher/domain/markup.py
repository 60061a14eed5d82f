"""The html of a mail, made ready when a text is saved: MJML compiled, styles put where mail programs look for them.

True here: what a mail must not have (script, forms, frames, another site's style) is refused with its place, never cut
out in silence; nothing is fetched; a link leads where our own names say, or to an address that is written out; a picture
that a mail carries (`cid:`) has words for those who do not see it. Nothing is handed to a library in which it could
nest deeper than that library's stack: no depth without as many tags.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

import css_inline
import nh3

from shared.content.pictures import NAME

LINKS = ("pay_url", "document_url", "opt_out_url", "logo_url")
_TAGS_KEPT_OUT = {"html", "head", "body", "title", "meta"}  # the frame of a page, which is no fragment
_META = {"charset", "viewport", "content-type", "x-ua-compatible", "color-scheme", "supported-color-schemes"}
_TAGS = nh3.ALLOWED_TAGS | {"style", "font", "section", "main", "header", "footer"}
_ANY = {
    *("align", "alt", "aria-hidden", "aria-label", "aria-roledescription", "bgcolor", "border", "cellpadding"),
    *(
        "cellspacing",
        "class",
        "color",
        "cols",
        "colspan",
        "dir",
        "face",
        "height",
        "id",
        "lang",
        "media",
        "role",
        "rowspan",
    ),
    *("scope", "size", "style", "target", "title", "type", "valign", "vertical-align", "width"),
}
_LINKING = {"a": {"href", "name"}, "img": {"src"}}
_SCHEMES = {"https", "http", "mailto", "tel"}
_SHOWING = ("img", "mj-image")
_PICTURE = re.compile(f"cid:{NAME}")
_SAID_OTHERWISE = re.compile(rf"""\bsrc\s*=\s*(['"]?)(cid:{NAME})\1(?=[\s/>])""")
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_HELD = re.compile(r"jinja(\d+)held")
_REMOTE_STYLE = re.compile(r"@import|url\s*\(|expression\s*\(|behavior\s*:|-moz-binding", re.IGNORECASE)
_CONDITION = re.compile(r"^\s*\[if [^\]<>]*\]>|<!(?:\[endif\])?$")
MOST_TAGS, MOST_MJML_TAGS = 3_000, 600  # beyond about 8,000 and 1,000 nested ones the libraries bring the process down
_FETCHING = ("mj-include", "mj-font", "mj-social")
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True, keep_at_rules=True)


@dataclass(frozen=True, slots=True)
class Wrong:
    """`line` in what was written, counted from 1."""

    line: int | None
    reason: str


def from_html(source: str) -> str | list[Wrong]:
    """The html with its styles inlined, or all that is wrong with it."""
    held, kept = _hold(source)
    wrong = _taken(source) or _too_much(held) or _unsafe(held, kept)
    return wrong or _release(_named(_inlined(held)), kept)


def from_mjml(source: str) -> str | list[Wrong]:
    """The same, of MJML."""
    from mjml import mjml2html  # lazy: a text is saved now and then, and most are not written in it

    held, kept = _hold(source)
    if wrong := _taken(source) or _too_much(held):
        return wrong
    if fetching := [tag for tag in _FETCHING if f"<{tag}" in held.lower()]:
        return [Wrong(_line(held, f"<{tag}"), f"<{tag}> is not available: nothing is fetched") for tag in fetching]
    try:
        compiled = mjml2html(held, fonts={})
    except ValueError as error:
        return [Wrong(_position(held, str(error)), f"this is no MJML: {error}")]
    left = sorted(set(re.findall(r"<(mj-[a-z-]+)", compiled)))
    if left:
        return [Wrong(_line(held, f"<{tag}"), f"<{tag}> is not an MJML element") for tag in left]
    wrong = _unsafe(held, kept, mjml=True) or [
        Wrong(None, one.reason) for one in _unsafe(_without_comments(compiled), kept)
    ]
    return wrong or _release(_named(_inlined(compiled)).replace('lang="und"', 'lang="{{ language }}"'), kept)


def _taken(source: str) -> list[Wrong]:
    """Words that this page itself uses."""
    return [Wrong(_line(source, found[0]), f"{found[0]!r} cannot stand in a mail") for found in _HELD.finditer(source)]


def _too_much(html: str) -> list[Wrong]:
    """What could be nested, however the tags are read."""
    if html.count("<") > MOST_TAGS:
        return [Wrong(None, f"has more than {MOST_TAGS} tags; send a shorter mail")]
    if len(re.findall(r"<\s*mj", html, re.IGNORECASE)) > MOST_MJML_TAGS:
        return [Wrong(None, f"has more than {MOST_MJML_TAGS} MJML elements; send a shorter mail")]
    return []


def _hold(source: str) -> tuple[str, list[str]]:
    """Jinja's own marks out of the way of those who read html, with as many lines."""
    kept: list[str] = []

    def hold(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"jinja{len(kept) - 1}held" + "\n" * found[0].count("\n")

    return _JINJA.sub(hold, source), kept


def _release(html: str, kept: list[str]) -> str:
    return _HELD.sub(lambda found: kept[int(found[1])], html)


def _inlined(html: str) -> str:
    whole = "<html" in html[:2000].lower()
    return _INLINER.inline(html) if whole else _INLINER.inline_fragment(html, "")


def _named(html: str) -> str:
    """Pictures are named in one way, also where only some mail programs look: in comments, which nobody has rewritten."""
    return _SAID_OTHERWISE.sub(r'src="\2"', html)


def _unsafe(html: str, kept: list[str], *, mjml: bool = False) -> list[Wrong]:
    return list(dict.fromkeys(_Look(kept, mjml=mjml).all_of(html)))


class _Look(HTMLParser):
    """Walks what was written and asks the sanitizer about each element: what it would take away is refused."""

    def __init__(self, kept: list[str], *, mjml: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._kept = kept
        self._mjml = mjml
        self._style = False
        self._found: list[Wrong] = []

    def all_of(self, html: str) -> Iterator[Wrong]:
        self.feed(html)
        self.close()
        yield from self._found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag in ("style", "mj-style")
        if self._mjml and tag.startswith("mj"):
            self._links(tag, attrs)
        elif tag in _TAGS_KEPT_OUT:
            self._frame(tag, attrs)
        elif tag not in _TAGS:
            self._say(f"<{tag}> must not be in a mail")
        else:
            self._attributes(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._style = False

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self._css(data)

    def handle_comment(self, data: str) -> None:
        """What only some mail programs read is read here too."""
        inner = _CONDITION.sub("", data)
        if "<" in inner or ">" in inner:
            self._found += [
                Wrong(self.getpos()[0], f"in a comment: {one.reason}") for one in _unsafe(inner, self._kept)
            ]

    def handle_decl(self, decl: str) -> None:
        if not decl.lower().startswith("doctype"):
            self._say("a declaration other than <!doctype html> must not be in a mail")

    def unknown_decl(self, data: str) -> None:
        if not data.startswith(("if", "endif")):
            self._say("<![ ... ]> must not be in a mail")

    def _frame(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "meta" and not {*said, (said.get("name") or said.get("http-equiv") or "").lower()} & _META:
            self._say("<meta> may say charset, viewport, color-scheme, content-type or x-ua-compatible alone")
        if tag in ("html", "body"):
            self._attributes("div", [pair for pair in attrs if not pair[0].startswith("xmlns")])

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        written = [(name, value or "") for name, value in attrs]
        kept = {tag: {name for name, value in written if name in _ANY | _LINKING.get(tag, set())}}
        for name, value in written:
            if name not in kept[tag]:
                self._say(f"{name} of <{tag}> must not be in a mail")
            if name == "style":
                self._css(value)
        self._links(tag, attrs)

    def _links(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "src" and tag in _SHOWING and (value or "").lower().startswith("cid:"):
                self._picture(tag, value or "", dict(attrs))
            elif name in ("href", "src", "background-url", "background") and not self._leads(value or ""):
                self._say(
                    f"{name} of <{tag}> must be https://, http://, mailto: or tel:, or one of "
                    + ", ".join(f"{{{{ {link} }}}}" for link in LINKS)
                    + (", or cid: and the name of a picture" if tag in _SHOWING else "")
                )
            if self._mjml and name.startswith("on"):
                self._say(f"{name} of <{tag}> must not be in a mail")

    def _picture(self, tag: str, value: str, said: Mapping[str, str | None]) -> None:
        if not _PICTURE.fullmatch(value) or _HELD.search(value):
            self._say(f"src of <{tag}> must be cid: and the name of a picture, written out, such as cid:banner")
        if "alt" not in said:
            self._say(
                f'<{tag} src="cid:..."> needs an alt: the words for those who do not see it; alt="" where it says nothing'
            )

    def _leads(self, value: str) -> bool:
        if held := _HELD.fullmatch(value.strip()):
            return self._kept[int(held[1])].strip("{} \n\t") in LINKS
        scheme, colon, rest = value.strip().partition(":")
        if not colon or scheme.lower() not in _SCHEMES:
            return value.startswith("#")
        host = rest.removeprefix("//").partition("/")[0]
        return not _HELD.search(host) and nh3.clean(f'<a href="{value}">x</a>', link_rel=None).count("href") == 1

    def _css(self, text: str) -> None:
        if _REMOTE_STYLE.search(text):
            self._say("a style must not fetch anything: no @import, no url()")
        if _HELD.search(text):
            self._say("a style must be written out; nothing is filled in there")

    def _say(self, reason: str) -> None:
        self._found.append(Wrong(self.getpos()[0], reason))


def _without_comments(html: str) -> str:
    return re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL)


def _line(text: str, mark: str) -> int | None:
    at = text.lower().find(mark.lower())
    return None if at < 0 else text.count("\n", 0, at) + 1


def _position(text: str, said: str) -> int | None:
    found = re.search(r"position (\d+)", said)
    return text.count("\n", 0, int(found[1])) + 1 if found else None
