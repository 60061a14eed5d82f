"""A push address has one spelling, and keys that work."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.push import Subscription, Token, normalise_push, parse_push

POINT = (
    ec.derive_private_key(7, ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)
AUTH = bytes(range(16))
ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/gAAAAAB-x_y"


def text(value: bytes, padded: bool = False) -> str:
    made = base64.urlsafe_b64encode(value).decode()
    return made if padded else made.rstrip("=")


def browser(**changes: Any) -> str:
    keys = {"p256dh": text(POINT), "auth": text(AUTH), **changes.pop("keys", {})}
    return json.dumps({"endpoint": ENDPOINT, "expirationTime": None, "keys": keys, **changes})


def test_a_browsers_json_and_our_line_are_the_same_address() -> None:
    line = normalise_push(browser())
    assert line == f"{ENDPOINT}#auth={text(AUTH)}&p256dh={text(POINT)}"
    assert normalise_push(line) == line
    assert normalise_push(browser(keys={"auth": text(AUTH, padded=True)})) == line
    assert parse_push(line) == Subscription(ENDPOINT, POINT, AUTH)


def test_what_is_neither_json_nor_an_address_is_an_apps_token() -> None:
    token = "dA1b2C3d4E5:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
    assert parse_push(token) == Token(token)
    assert normalise_push(token) == token


@pytest.mark.parametrize(
    "wrong",
    [
        "short",
        "a token with blanks in it, though long",
        "x" * 5000,
        "{",
        "[]" * 20,
        "{}",
        json.dumps({"endpoint": ENDPOINT}),
        browser(endpoint="http://push.example/x"),
        browser(endpoint="https://127.0.0.1/x"),
        browser(endpoint="https://[::1]/x"),
        browser(endpoint="https://0x7f.1/x"),
        browser(endpoint="https://push.example/\r\nx"),
        browser(endpoint="https://push.example/#x"),
        browser(endpoint=7),
        browser(keys={"auth": text(AUTH[:15])}),
        browser(keys={"p256dh": text(POINT[:64])}),
        browser(keys={"p256dh": text(b"\x04" + bytes(64))}),
        browser(keys={"p256dh": "%%"}),
        f"{ENDPOINT}#auth={text(AUTH)}",
    ],
)
def test_what_cannot_be_pushed_to_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must|is not"):
        parse_push(wrong)


def test_a_push_service_of_this_machine_exists_in_the_sandbox_only() -> None:
    at_home = browser(endpoint="http://127.0.0.1:8000/sandbox/webpush/ana")
    assert isinstance(parse_push(at_home, sandbox=True), Subscription)
