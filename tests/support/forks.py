"""Run code in a forked process, and return its result by the exit code."""

import os
import signal
import warnings
from collections.abc import Callable


def forked() -> int:
    """Call os.fork() without its warning about threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_a_fork(work: Callable[[], object]) -> bool:
    """Whether a forked process ends in time and the function returns a true value there."""
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
