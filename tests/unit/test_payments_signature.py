"""Standard Webhooks signatures: what the common package signs is right, anything else is not, and nothing raises."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from services.payments.domain.signature import NOBODY, Signed, is_signed, parse_secret

KEY = b"0123456789abcdef01234567"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = "whsec_" + base64.b64encode(KEY[::-1]).decode()
NOW = 1_795_000_000
BODY = b'{"type":"payment.confirmed"}'


def sign(secret: str = SECRET, event: str = "msg_1", at: int = NOW, body: bytes = BODY) -> Signed:
    signature = Webhook(secret).sign(event, datetime.fromtimestamp(at, UTC), body.decode())
    return Signed(event.encode(), str(at).encode(), signature.encode())


def changed(**parts: bytes | None) -> Signed:
    good = sign()
    return Signed(**{"id": good.id, "timestamp": good.timestamp, "signatures": good.signatures, **parts})


def test_what_the_package_signs_is_right() -> None:
    assert is_signed(sign(), BODY, (KEY,), NOW)


def test_while_secrets_rotate_either_is_right() -> None:
    keys = (parse_secret(OTHER), parse_secret(SECRET))
    assert is_signed(sign(), BODY, keys, NOW)
    assert is_signed(sign(OTHER), BODY, keys, NOW)
    assert not is_signed(sign(OTHER), BODY, keys[1:], NOW)


def test_one_right_signature_among_several_is_enough() -> None:
    assert is_signed(changed(signatures=b"v1,AAAA v2,x " + (sign().signatures or b"")), BODY, (KEY,), NOW)


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_five_minutes_either_way_are_allowed(seconds: int) -> None:
    assert is_signed(sign(at=NOW + seconds), BODY, (KEY,), NOW)


@pytest.mark.parametrize("seconds", [-301, 301, -(10**9)])
def test_more_than_five_minutes_are_not(seconds: int) -> None:
    assert not is_signed(sign(at=NOW + seconds), BODY, (KEY,), NOW)


@pytest.mark.parametrize(
    "signed",
    [
        Signed(None, None, None),
        changed(id=None),
        changed(timestamp=None),
        changed(signatures=None),
        changed(id=b""),
        changed(id=b"msg_2"),
        changed(id=b"msg 1"),
        changed(id=b"x" * 256),
        changed(timestamp=b""),
        changed(timestamp=b"now"),
        changed(timestamp=b"-1"),
        changed(timestamp=str(NOW).encode() + b".0"),
        changed(timestamp="١٢٣".encode()),
        changed(timestamp=b"9" * 400),
        changed(signatures=b""),
        changed(signatures=b"v1"),
        changed(signatures=b"v1,"),
        changed(signatures=b"v1,%%%"),
        changed(signatures=b"v1,\xff\xfe"),
        changed(signatures=(sign().signatures or b"").replace(b"v1,", b"v1a,")),
        changed(signatures=(sign().signatures or b"").rstrip(b"=")),
    ],
)
def test_an_odd_header_is_a_wrong_signature(signed: Signed) -> None:
    assert not is_signed(signed, BODY, (KEY,), NOW)


def test_a_changed_body_is_not_signed() -> None:
    assert not is_signed(sign(), BODY + b" ", (KEY,), NOW)


def test_nobody_signs_for_a_source_that_does_not_exist() -> None:
    forged = sign("whsec_" + base64.b64encode(b"\1" * 32).decode())
    assert not is_signed(forged, BODY, NOBODY, NOW)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=80))
def test_no_header_raises(event: bytes, timestamp: bytes, signatures: bytes) -> None:
    assert not is_signed(Signed(event, timestamp, signatures), BODY, (KEY,), NOW)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa", "whsec_****", 7, None])
def test_a_bad_secret_is_refused_without_being_repeated(text: object) -> None:
    with pytest.raises(ValueError, match="whsec_") as caught:
        parse_secret(text)
    assert "MfKQ" not in str(caught.value)
