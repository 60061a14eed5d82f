"""One meaning or none: what a lenient parser would let through is refused with a sentence."""

import pytest

from shared.kernel import json
from shared.kernel.errors import BadRequest


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "line 1, column"),
        (b'{"a": 1,}', "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e999]", "beyond a double"),
        (b"[18446744073709551616]", "64 bits"),
        (b"[" + b"9" * 5000 + b"]", "64 bits"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' stands twice"),
        (b"[" * 100_000, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        (b'["' + b"\\" * 2 + b'", ' + b"[" * 33 + b"]" * 34, "deeper than 32"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ["\\u0000"]}', "U+0000"),
        (b'{"\\u0000": 1}', "U+0000"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
    ],
)
def test_what_has_no_single_meaning_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        json.loads(body)
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, -2.5, "\xc3\xa9", null, true]}', {"a": [1, -2.5, "é", None, True]}),
        (b"[" * 32 + b"]" * 32, None),
        (b'["' + b"[{" * 50 + b'"]', ["[{" * 50]),
        (b'["\\"' + b"[" * 50 + b'"]', ['"' + "[" * 50]),
        (b'["\\\\u0000", "\\ud83d\\ude00"]', ["\\u0000", "\U0001f600"]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
    ],
)
def test_sound_json_is_read_as_it_stands(body: bytes, value: object) -> None:
    read = json.loads(body)
    assert read == value if value is not None else len(read) == 1


def test_many_flat_objects_are_not_taken_for_deep_ones() -> None:
    assert len(json.loads(b"[" + b",".join([b"{}"] * 1000) + b"]")) == 1000
