"""Clients with certificates that come back to servers with a cache, and what each of the servers' workers says."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ssl import TLSVersion

from server_programs import Client

WORKERS = 4


class Certified:
    """A client with a name of its own in its certificate."""

    def __init__(self, name: str, client: Client, version: TLSVersion) -> None:
        self.name, self.client, self.version = name, client, version

    def visit(self, port: int) -> tuple[bool, int]:
        """Whether it was resumed, and by which process. Its name is there whether it was or not."""
        seen = self.client.visit(port)
        assert names_in(self.client.said) == [self.name]
        return seen


def names_in(said: bytes) -> list[str]:
    found: list[str] = json.loads(line_of(b"names", said))
    return found


def counts_in(said: bytes) -> dict[str, int]:
    found: dict[str, int] = json.loads(line_of(b"counts", said))
    return found


def line_of(word: bytes, said: bytes) -> bytes:
    found = re.search(rb"^%b (.*)$" % word, said, re.MULTILINE)
    assert found is not None, said
    return found.group(1)


@contextmanager
def stopped() -> Iterator[Callable[[int], None]]:
    """Stops processes, so that others answer, and lets them go on in the end."""
    processes: set[int] = set()

    def stop(process: int) -> None:
        processes.add(process)
        os.kill(process, signal.SIGSTOP)

    try:
        yield stop
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def is_resumed_by_all(client: Certified, port: int) -> bool:
    """Whether each of the workers resumes it, in turn."""
    seen = []
    with stopped() as stop:
        for _ in range(WORKERS):
            resumed, process = client.visit(port)
            seen.append(resumed)
            stop(process)
    return all(seen)


def counts_of_all(client: Certified, port: int) -> list[dict[str, int]]:
    """What each worker has counted, in turn."""
    found: dict[int, dict[str, int]] = {}
    with stopped() as stop:
        while len(found) < WORKERS:
            _, process = client.visit(port)
            found[process] = counts_in(client.client.said)
            stop(process)
    return list(found.values())
