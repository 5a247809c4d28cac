"""Resumed handshakes without Python on both sides: what valgrind runs.

`python -m benchmarks.handshakes.callgrind_worker FOLDER LOOPS COUNT [COUNT ...]` runs with the certificates in FOLDER.

A COUNT is [version, side, client_certificate] as JSON. The side is a number of hosts, whose HostMap the listener has;
TicketKeys; or ssl, for OpenSSL's own ticket keys. The instructions of each go to one dump, with the COUNT as its name.
"""

import gc
import json
import random
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import native
from benchmarks.handshakes.sides import ECDSA, KEYS, Case, Certificates, Count, Maps, in_map
from pysidctx import TicketKeys


def prepare(listener: ssl.SSLContext, side: str, maps: Maps) -> None:
    if side.isdecimal():
        maps.made[in_map(int(side))].install(listener)
    elif side == KEYS:
        TicketKeys().install(listener)


def handshakes(counted: Count, loops: int, certificates: Certificates) -> Callable[[], None]:
    """A function that makes them; what is done once is done."""
    hosts = int(counted.side) if counted.side.isdecimal() else 1
    case, maps = Case(counted.version, ECDSA, counted.client_certificate), Maps((hosts,))
    listener = certificates.listener(case)
    prepare(listener, counted.side, maps)
    floor = native.load("handshake_cython").Floor(listener, certificates.client_context(case))
    floor.server_time(maps.name(0), False)
    chance = random.Random(0)
    names = [maps.name(chance.randrange(hosts)) for _ in range(loops)]
    floor.server_time(names[0], True)
    return lambda: floor.counted(names)


def main(folder: Path, loops: int, names: list[str]) -> None:
    counting = native.load("handshake_cython")
    made = {name: handshakes(Count(*json.loads(name)), loops, Certificates(folder)) for name in names}
    gc.disable()
    counting.count()
    for name, shake_hands in made.items():
        shake_hands()
        counting.dump(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
