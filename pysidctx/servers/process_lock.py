"""A lock between the threads of one process, which a forked process never finds taken."""

import os
import threading
import weakref


class ProcessLock:
    """A `threading.Lock` for each process: a thread that held it at a fork is not in the child.

    The one of this process is found by its id, because other code may need it in a hook of
    `os.register_at_fork()` that runs before the one below.
    """

    def __init__(self) -> None:
        self._of_process: dict[int, threading.Lock] = {}
        _locks.add(self)

    def here(self) -> threading.Lock:
        process = os.getpid()
        found = self._of_process.setdefault(process, threading.Lock())
        for other in tuple(self._of_process):
            if other != process:
                self._of_process.pop(other, None)
        return found

    def after_fork(self) -> None:
        """Another process may have had this id, in another namespace of ids for example."""
        self._of_process = {}


_locks: "weakref.WeakSet[ProcessLock]" = weakref.WeakSet()


def _after_fork() -> None:
    for lock in tuple(_locks):
        lock.after_fork()


os.register_at_fork(after_in_child=_after_fork)
