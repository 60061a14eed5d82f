"""Return paths that only this deployment can make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.tokens import MessageIds, ReturnPaths

PATHS = ReturnPaths(b"secret", "Bounce.Test")
IDS = MessageIds(b"secret", "Bounce.Test")


@given(reminder=st.integers(1, 2**63 - 1), fence=st.integers(0, 999_999_999))
def test_a_return_path_reads_back_in_any_letter_case_and_fits_a_local_part(reminder: int, fence: int) -> None:
    made = PATHS.make(reminder, fence)

    assert (reminder, fence) == PATHS.read(made)
    assert (reminder, fence) == PATHS.read(made.upper())
    assert len(made.split("@")[0]) <= 64


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.replace("b+12.", "b+13."),
        lambda made: made.replace(".1.", ".2."),
        lambda made: made.replace("@bounce.test", "@other.test"),
        lambda made: made[:-20] + "aaaa" + made[-16:],
        lambda made: made.split("@")[0],
        lambda made: "x" + made,
        lambda made: "",
        lambda made: "b+" + "9" * 5000 + made[2:],
    ],
)
def test_anything_else_reads_as_nothing(change: object) -> None:
    assert callable(change)
    assert PATHS.read(change(PATHS.make(12, 1))) is None


def test_another_secret_makes_other_paths() -> None:
    assert ReturnPaths(b"other", "bounce.test").read(PATHS.make(12, 1)) is None


@given(reminder=st.integers(1, 2**63 - 1), contact=st.integers(1, 2**59))
def test_a_message_id_reads_back_in_any_letter_case(reminder: int, contact: int) -> None:
    made = IDS.make(reminder, contact)

    assert (reminder, contact) == IDS.read(made) == IDS.read(made.upper().strip("<>"))
    assert MessageIds(b"other", "bounce.test").read(made) is None


@pytest.mark.parametrize(
    "made",
    [
        IDS.make(12, 5).replace("r12.", "r13."),
        IDS.make(12, 5).replace(".5.", ".6."),
        IDS.make(12, 5).replace("Bounce.", "other."),
        "<r12.5@bounce.test>",
        PATHS.make(12, 5),
        "",
    ],
)
def test_any_other_message_id_reads_as_nothing(made: str) -> None:
    assert IDS.read(made) is None
