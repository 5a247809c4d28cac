"""A lock between the threads of one process, which is never locked in a newly forked process."""

import os
import threading
import weakref


class ProcessLock:
    """One `threading.Lock` for each process, because a thread that holds a lock at a fork does not exist in the child.

    It is looked up by process id, because other hooks of `os.register_at_fork()` may need the lock before
    the hook below runs.
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
        """Forget all locks: an earlier process may have had the same id, for example in another PID namespace."""
        self._of_process = {}


_locks: "weakref.WeakSet[ProcessLock]" = weakref.WeakSet()


def _after_fork() -> None:
    for lock in tuple(_locks):
        lock.after_fork()


os.register_at_fork(after_in_child=_after_fork)
