"""What a forked process does, told by how it ends."""

import os
import signal
import warnings
from collections.abc import Callable


def forked() -> int:
    """As os.fork(), which warns where there are threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_a_fork(work: Callable[[], object]) -> bool:
    """Whether a forked process comes to its end, and what it does is true."""
    child = forked()
    if child == 0:
        done: object = False
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            done = work()
        finally:
            os._exit(0 if done else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
