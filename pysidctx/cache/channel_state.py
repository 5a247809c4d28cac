"""Whether the channel of a replication works, and the log of when it is lost and when it is back."""

import logging
import threading
import time
from typing import Optional

from pysidctx.deferred_log import log_later
from pysidctx.log import one_line

SENDING, RECEIVING = "sending", "receiving"


class ChannelState:
    """The error of each direction, of which a thread of its own tells. Reading `error` takes no lock."""

    def __init__(self, channel: object) -> None:
        self._channel = channel
        self._changing = threading.Lock()
        self._errors: dict[str, str] = {}  # never changed, but replaced
        self._lost: Optional[float] = None  # since when
        self._resting = True

    @property
    def error(self) -> Optional[str]:
        errors = self._errors
        return errors.get(SENDING) or errors.get(RECEIVING)

    def fails(self, direction: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        with self._changing:
            if self._resting:  # the other thread has noticed that meanwhile
                return
            self._errors = {**self._errors, direction: text}
            if self._lost is None:
                self._lost = time.monotonic()
                log_later(logging.WARNING, "channel lost: %s does not work, so no sessions are exchanged with other "
                          "machines: %s", repr(self._channel), one_line(text))

    def works(self, direction: str) -> None:
        if not self._errors:  # what it usually is
            return
        with self._changing:
            self._errors = {other: error for other, error in self._errors.items() if other != direction}
            if self._lost is not None and not self._errors:
                seconds = time.monotonic() - self._lost
                self._lost = None
                log_later(logging.INFO, "channel back: %s works again, after %.1f seconds", repr(self._channel),
                          seconds)

    def lead(self) -> None:
        """This process uses the channel now."""
        if self._resting:
            with self._changing:
                self._resting = False

    def rest(self) -> None:
        """Another process of the machine uses the channel now, and tells of it."""
        with self._changing:
            if self._lost is not None:
                log_later(logging.INFO, "channel left: another process of this machine uses %s now, and logs whether "
                          "it works", repr(self._channel))
            self._errors, self._lost, self._resting = {}, None, True
