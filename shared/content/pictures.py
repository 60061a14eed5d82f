"""Pictures that a mail carries with it, where its html says `<img src="cid:NAME" alt="...">`.

True here: what a mail carries its html shows, and what its html shows is carried; where there is no such picture its words
stand in its place, never a broken image. A picture's bytes have one name (`content_id`) in all mails.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from shared.transfer import Transfer, transfer_code

if TYPE_CHECKING:
    from shared.content.facts import MessageFacts

NAME = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
LOGO, PAYMENT_CODE = "logo", "payment-code"
RESERVED = {
    LOGO: "the logo of the creditor who writes: PUT the picture under another name and name it as the creditor's `logo`",
    PAYMENT_CODE: "made for each mail, of its amount and the creditor's account",
}
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif"}
_SHOWN = re.compile(rf'src="cid:({NAME})"')
_IF_LOGO = re.compile(r"\{%\s*if logo\s*%\}.*?\{%\s*(?:elif|else|endif)\b", re.DOTALL)
_IMAGE = re.compile(r"""<img\b(?:[^>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """`digest`: SHA-256 of the content. `wording`: its name and version, such as 'banner@2'; '' for one that was made for
    this message alone."""

    filename: str
    media_type: str
    content: bytes = field(repr=False)
    digest: str
    wording: str = ""

    @property
    def content_id(self) -> str:
        """Without angle brackets."""
        return f"{self.digest[:32]}@dunnock"


Pictures = Mapping[str, Picture]


def named_in(html: str) -> tuple[str, ...]:
    """The pictures that this html may show."""
    return tuple(dict.fromkeys(_SHOWN.findall(html)))


def asks_first(html: str) -> bool:
    """Whether it shows pictures only inside `{% if logo %}`: without a logo there is nothing to look for."""
    return not named_in(_IF_LOGO.sub("", html))


def available(names: Iterable[str], facts: "MessageFacts", pictures: Pictures) -> Pictures:
    """Those of these names that there are for this message; `pictures`: all of the operator's."""
    return {name: picture for name in names if (picture := _one(name, facts, pictures)) is not None}


def _one(name: str, facts: "MessageFacts", pictures: Pictures) -> Picture | None:
    if name == PAYMENT_CODE:
        return payment_code(facts)
    return pictures.get((facts.logo or "") if name == LOGO else name)


def shown(html: str, names: Iterable[str], pictures: Pictures) -> tuple[str, tuple[Picture, ...]]:
    """The html as it goes out, and the pictures that go with it, each once."""
    carried: dict[str, Picture] = {}
    for name in names:
        mark = f'src="cid:{name}"'
        if mark not in html:
            continue
        picture = pictures.get(name)
        if picture is None:
            html = _without(html, name, mark)
        else:
            html = html.replace(mark, f'src="cid:{picture.content_id}"')
            carried[picture.content_id] = picture
    return html, tuple(carried.values())


def inside(html: str, pictures: Iterable[Picture]) -> str:
    """The html with its pictures in it, to be looked at in a browser; mail programs show no `data:`."""
    for picture in pictures:
        html = html.replace(f'src="cid:{picture.content_id}"', f'src="{data_uri(picture)}"')
    return html


def data_uri(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{b64encode(picture.content).decode()}"


def _without(html: str, name: str, mark: str) -> str:
    """A logo leaves its words; a code says nothing without its picture."""

    def left(image: re.Match[str]) -> str:
        if mark not in image[0]:
            return image[0]
        words = _ALT.search(image[0]) if name != PAYMENT_CODE else None
        return (words[1] or words[2] or "") if words else ""

    return _IMAGE.sub(left, html)


def payment_code(facts: "MessageFacts") -> Picture | None:
    """What a banking app reads instead of typed transfer data, where there is such a code: one invoice with something open,
    in a currency and to an account that a scheme knows."""
    if not facts.iban or len(facts.invoices) > 1:
        return None
    return _drawn(
        Transfer(
            facts.creditor_name,
            "".join(facts.iban.split()),
            facts.bic,
            round(facts.open_amount, 2),
            facts.currency,
            facts.payment_reference,
        )
    )


@lru_cache(maxsize=256)
def _drawn(transfer: Transfer) -> Picture | None:
    drawn = transfer_code(transfer)
    if drawn is None:
        return None
    content = drawn.png()
    return Picture(f"{PAYMENT_CODE}.png", "image/png", content, sha256(content).hexdigest())
