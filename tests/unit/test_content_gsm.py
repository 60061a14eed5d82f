"""How an SMS is counted and made cheaper."""

import pytest

from shared.content.gsm import fold, segments


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 8, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("a" * 69 + "’", 1),
        ("a" * 70 + "’", 2),
    ],
)
def test_segments_are_counted_as_they_are_billed(text: str, count: int) -> None:
    assert count == segments(text)


def test_accents_that_make_a_text_dearer_are_left_out() -> None:
    assert 'Atencion: "a vencio" Ñandú'.replace("ú", "u") == fold("Atención: “á venció” Ñandú")
    assert 1 == segments(fold("Atención " + "a" * 150))


def test_letters_that_the_alphabet_has_stay() -> None:
    assert "¿Qué años? ñ ü à" == fold("¿Qué años? ñ ü à")


def test_a_text_in_another_script_keeps_its_letters() -> None:
    assert "Счёт 5 €" == fold("Счёт\u00a05\u202f€")
