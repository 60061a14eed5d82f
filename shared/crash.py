"""Where a test lets a process die: SIGKILL of itself, at a named point, the first time it is reached.

True here: without DUNNOCK_TEST_FLAGS=1 in the environment nothing ever dies here, whatever else is set.
"""

import os
import signal

_DIES_AT = os.environ.get("DUNNOCK_CRASH_AT") if os.environ.get("DUNNOCK_TEST_FLAGS") == "1" else None


def crash_point(name: str) -> None:
    """Names are listed in tests/chaos/test_crash_points.py."""
    if name == _DIES_AT:
        os.kill(os.getpid(), signal.SIGKILL)
