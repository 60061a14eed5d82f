"""Where a test lets a process die: SIGKILL of itself, at a named point, the first time it is reached.

True here: without DUNNOCK_TEST_FLAGS=1 in the environment nothing ever dies here, whatever else is set.
"""

import functools
import os
import signal


def crash_point(name: str) -> None:
    """Names are listed in tests/chaos/test_crash_points.py."""
    if name == dies_at():
        os.kill(os.getpid(), signal.SIGKILL)


@functools.cache
def dies_at() -> str | None:
    """Read once, when it is first asked for: whoever imported this may have become another process since."""
    return os.environ.get("DUNNOCK_CRASH_AT") if os.environ.get("DUNNOCK_TEST_FLAGS") == "1" else None
