"""The memory in which the workers of a server count: anonymous, which forked workers inherit, or a file."""

import os
import warnings
from typing import Optional

from pysidctx import environment
from pysidctx.exceptions import Error
from pysidctx.lockfree import counts
from pysidctx.lockfree.totals import Totals


class SharedCounts:
    """Made when `pysidctx.servers` is imported, as the environment demands then. Safe in any thread."""

    def __init__(self) -> None:
        """Raises ValueError if the environment variable is empty."""
        self._named = environment.value(environment.STATS)
        self._status: Optional[os.stat_result] = None
        self._made_in = os.getpid()
        self._one_of_several = 0  # the process id of a worker, so that no child inherits it
        self.path: Optional[str] = None
        if self._named is None:
            counts.share(None)
        else:
            self._open(os.path.abspath(self._named))

    def _open(self, path: str) -> None:
        try:
            file = counts.open_file(path)
            try:
                counts.share(file)
                self._status = os.fstat(file)
            finally:
                os.close(file)
            self.path = path
        except (OSError, ValueError, MemoryError, Error) as error:
            counts.share(None)
            warnings.warn(
                f"pysidctx: what this process counts is added up with its forked workers alone, because {path!r} "
                f"cannot be used: {error or 'too little memory'}. Set {environment.STATS} to a path that can be used, "
                "and restart the server", RuntimeWarning, stacklevel=4)

    def is_in_one_of_several(self) -> None:
        """Note that this process is one of several workers."""
        self._one_of_several = os.getpid()

    def totals(self) -> Totals:
        self._warn_of_others()
        return counts.totals()

    def _warn_of_others(self) -> None:
        """Emit a RuntimeWarning if other workers count in another memory."""
        here = os.getpid()
        if environment.value(environment.STATS) != self._named:
            why = (f"{environment.STATS} has changed since pysidctx.servers was imported: set it before the server is "
                   "started")
        elif self.path is None:
            if not self._made_in == self._one_of_several == here:
                return
            why = ("this worker has imported pysidctx.servers itself: import it before the fork, at the top of "
                   f"gunicorn.conf.py, or set {environment.STATS} to a path such as /dev/shm/NAME")
        elif is_still_there(self.path, self._status):
            return
        else:
            why = f"{self.path!r} was removed or replaced while this process used it: restart the server"
        warnings.warn(f"pysidctx: the counts may lack those of other workers, because {why}", RuntimeWarning,
                      stacklevel=5)


def is_still_there(path: str, status: Optional[os.stat_result]) -> bool:
    try:
        return status is not None and os.path.samestat(os.stat(path), status)
    except OSError:
        return False


shared_counts = SharedCounts()
