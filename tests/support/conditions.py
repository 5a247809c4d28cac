"""Wait for what other threads and processes bring about."""

import time
from collections.abc import Callable


def waiting(patience: float) -> Callable[..., None]:
    """A function that waits until a condition holds: for at most so many seconds, or as many as it is told."""

    def until(condition: Callable[[], object], seconds: float = patience) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it does not happen"
            time.sleep(0.01)

    return until
