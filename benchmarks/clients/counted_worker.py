"""Full handshakes of clients with a ClientSessions, without Python on both sides: what valgrind runs.

`python -m benchmarks.clients.counted_worker FOLDER LOOPS` runs with the certificates in FOLDER. The instructions of
each case go to one dump, with the case's name.
"""

import gc
import json
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import native
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.handshakes.sides import ECDSA, Case, Certificates
from pysidctx import ClientSessions


class Count(NamedTuple):
    version: str
    stores: bool  # the server makes sessions, which are stored; but none is offered


def handshakes(wanted: Count, loops: int, certificates: Certificates) -> Callable[[], None]:
    """A function that makes them; what is done once is done."""
    case = Case(wanted.version, ECDSA, False)
    listener, client = certificates.listener(case), certificates.client_context(case)
    sessions = ClientSessions()
    sessions.install(client)
    floor = native.load("handshake_cython").Floor(listener, client)
    if not wanted.stores:
        listener.options |= ssl.OP_NO_TICKET
        listener.num_tickets = 0
        floor.store_nothing()
    floor.server_time("a.example.org", False)
    sessions.clear()

    def shake_hands() -> None:
        floor.counted([f"h{number}.example.org" for number in range(loops)], resume=False)
        if (sessions.stats().stored > 0) != wanted.stores or sessions.stats().offered:
            raise AssertionError(f"these were to be others: {sessions.stats()}")

    return shake_hands


def main(folder: Path, loops: int) -> None:
    counting, certificates = native.load("handshake_cython"), Certificates(folder)
    made = {wanted: handshakes(wanted, loops, certificates)
            for version in VERSIONS for wanted in (Count(version, False), Count(version, True))}
    gc.disable()
    counting.count()
    for wanted, shake_hands in made.items():
        shake_hands()
        counting.dump(json.dumps(wanted))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
