"""Replication of a SessionCache between machines: two threads of one process on each of them."""

import threading
import time
from collections.abc import Iterator
from typing import Optional, Protocol

from pysidctx.cache.channel_state import RECEIVING, SENDING, ChannelState

INTERVAL = 0.02    # seconds between two batches
MOST = 500         # entries in a batch
PATIENCE = 1       # seconds until another process may become the one that replicates
ACTIVE = 5         # seconds for which workers go on adding what nobody takes
SKEW = 5           # seconds by which the clocks of machines differ
AGAIN = 60         # seconds until all that was forgotten is sent again, for machines that came later
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds after a failure

TIME_LENGTH = 8    # bytes, before each batch: when it was sent, in milliseconds since 1970


class Channel(Protocol):
    """What carries batches between machines. `pysidctx.valkey.Channel` is one.

    Each method is called by one thread at a time, but both may be called at once. Any exception counts as a failure of
    the channel: it is tried again after a pause.
    """

    def publish(self, batch: bytes) -> None:
        """Send `batch` to all machines, this one too or not. Return when the channel has it."""

    def receive(self, since: Optional[str]) -> Iterator[tuple[str, bytes]]:
        """Yield each batch with its position, in the order in which they were published: those after the position
        `since` and those to come; for None, all that the channel has kept. At least once a second while there is none,
        yield the last position (or "") and b"".
        """


class Replicated(Protocol):
    """What Replication needs of a SessionCache."""

    def _lead(self) -> bool: ...
    def _follow(self) -> None: ...
    def _keep_active(self, seconds: int) -> None: ...
    def _head(self) -> int: ...
    def _outgoing(self, turn: int, most: int, skip_unfinished: bool) -> tuple[int, int, bytes]: ...
    def _forgotten(self) -> tuple[int, bytes]: ...
    def _generation(self) -> int: ...
    def _announce(self, generation: Optional[int]) -> None: ...
    def _incoming(self, batch: bytes, forgotten_alone: bool, lag: int) -> bool: ...
    def _count_published(self, count: int) -> None: ...
    def _drop(self, count: int) -> None: ...
    def _lose(self) -> None: ...


class Replication:
    """The replication of a SessionCache, as `SessionCache.replicate()` returns it.

    Its threads belong to the process that called `replicate()`: a process that is forked does not have them. Of all
    processes of a machine that replicate the same memory, one does the work; if it ends, another one takes over
    within a second or two.
    """

    def __init__(self, cache: Replicated, channel: Channel) -> None:
        self._cache = cache
        self._channel = channel
        self._stopping = threading.Event()
        self._leading = threading.Event()
        self._state = ChannelState(channel)
        self._sender: Optional[Sender] = None
        self._threads = [threading.Thread(target=target, name=f"pysidctx {target.__name__.strip('_')}", daemon=True)
                         for target in (self._publish, self._receive)]
        for thread in self._threads:
            thread.start()

    @property
    def leading(self) -> bool:
        """Whether this process does the work for its machine: a bool."""
        return self._leading.is_set()

    @property
    def error(self) -> Optional[str]:
        """Why the channel does not work at the moment: a str, or None if it does."""
        return self._state.error

    def stop(self, timeout: float = 5.0) -> None:
        """End both threads. Waits for them, at most `timeout` seconds. Safe in any thread."""
        self._stopping.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def __enter__(self) -> "Replication":
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._stopping.is_set() else f"failing: {self.error}" if self.error else \
            "leading" if self.leading else "waiting"
        return f"<Replication by {self._channel!r}, {state}>"

    def _publish(self) -> None:
        pause = FIRST_PAUSE
        try:
            while not self._stopping.wait(INTERVAL):
                if not self._cache._lead():
                    self._leading.clear()
                    self._sender = None
                    self._state.rest()
                    self._stopping.wait(PATIENCE)
                    continue
                self._cache._keep_active(ACTIVE)
                sender = self._sender = self._sender or Sender(self._cache, self._channel)
                self._state.lead()
                self._leading.set()
                try:
                    sender.send()
                    # After a failure it has sent what was forgotten, so that the channel was used.
                    self._state.works(SENDING)
                    pause = FIRST_PAUSE
                except Exception as error:
                    self._state.fails(SENDING, error)
                    self._cache._announce(None)
                    self._cache._lose()
                    self._stopping.wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self._leading.clear()
            self._cache._keep_active(0)
            self._cache._follow()

    def _receive(self) -> None:
        pause = FIRST_PAUSE
        since: Optional[str] = None
        first = True
        while not self._stopping.is_set():
            if not self._leading.wait(PATIENCE):
                continue
            try:
                if first:
                    # What was forgotten comes before all sessions, so that none of these is found meanwhile.
                    self._take_forgotten()
                    first = False
                for position in self._listen_on(since):
                    since, pause = position, FIRST_PAUSE
                    self._state.works(RECEIVING)
            except Exception as error:
                self._state.fails(RECEIVING, error)
                self._stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _take_forgotten(self) -> None:
        """Read all that the channel has kept, and take what was forgotten alone.

        Other machines may send without a pause. So that ends not only where nothing more comes, but also with the first
        batch that this process has sent itself, or, if the channel does not return it, with one that was sent later.
        """
        late = milliseconds() + SKEW * 1000
        for _, batch in self._channel.receive(None):
            if not batch or self._stopping.is_set() or self._is_own(batch) or sent_at(batch) > late:
                return
            self._take(batch, forgotten_alone=True)

    def _is_own(self, batch: bytes) -> bool:
        sender = self._sender
        return sender is not None and batch == sender.first_sent

    def _listen_on(self, since: Optional[str]) -> Iterator[Optional[str]]:
        for position, batch in self._channel.receive(since):
            if self._stopping.is_set() or not self.leading:
                return
            if batch:
                self._take(batch, forgotten_alone=False)
            yield position or since

    def _take(self, batch: bytes, forgotten_alone: bool) -> None:
        if len(batch) < TIME_LENGTH:
            self._cache._drop(1)
            return
        lag = max(0, milliseconds() - sent_at(batch))
        if not self._cache._incoming(batch[TIME_LENGTH:], forgotten_alone, lag):
            self._cache._drop(1)


class Sender:
    """What was sent, and what is to be sent next."""

    def __init__(self, cache: Replicated, channel: Channel) -> None:
        self.cache = cache
        self.channel = channel
        cache._lose()
        self.turn = cache._head()
        self.unfinished = 0       # how often in succession there was an entry that is not finished
        self.generation: Optional[int] = None  # of what was forgotten, as it was sent
        self.sent_forgotten = 0.0
        self.first_sent: Optional[bytes] = None

    def send(self) -> None:
        """Send what there is. What was forgotten goes first, also after a failure."""
        if self.generation != self.cache._generation() or time.monotonic() - self.sent_forgotten > AGAIN:
            self.generation = None
            generation, batch = self.cache._forgotten()
            self.publish(batch)
            self.generation, self.sent_forgotten = generation, time.monotonic()
            self.cache._announce(generation)
        while True:
            before = self.turn
            self.turn, count, batch = self.cache._outgoing(self.turn, MOST, self.unfinished > 2)
            self.unfinished = 0 if self.turn != before or self.turn == self.cache._head() else self.unfinished + 1
            if not batch:
                return
            try:
                self.publish(batch)
            except BaseException:
                self.generation = None
                self.cache._drop(count)
                raise
            self.cache._count_published(count)

    def publish(self, batch: bytes) -> None:
        whole = milliseconds().to_bytes(TIME_LENGTH, "big") + batch
        self.first_sent = self.first_sent or whole
        self.channel.publish(whole)


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def sent_at(batch: bytes) -> int:
    return int.from_bytes(batch[:TIME_LENGTH], "big")
