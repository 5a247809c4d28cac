"""A channel in memory, between the caches of machines that are all in one process."""

import threading
from collections.abc import Iterator
from typing import Optional

IDLE = 0.05  # seconds


class MemoryChannel:
    """Keeps all batches. While it is `down`, it raises instead; while it is not `free`, it does not return."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.more = threading.Condition()
        self.down = False
        self.free = threading.Event()
        self.free.set()

    def publish(self, batch: bytes) -> None:
        if self.down:
            raise ConnectionError("the channel is down")
        self.free.wait()
        self.put(batch)

    def put(self, batch: bytes) -> None:
        with self.more:
            self.batches.append(batch)
            self.more.notify_all()

    def receive(self, since: Optional[str]) -> Iterator[tuple[str, bytes]]:
        position = int(since or 0)
        while True:
            if self.down:
                raise ConnectionError("the channel is down")
            with self.more:
                if position == len(self.batches):
                    self.more.wait(IDLE)
                found = self.batches[position:position + 1]
            position += len(found)
            yield str(position), found[0] if found else b""
