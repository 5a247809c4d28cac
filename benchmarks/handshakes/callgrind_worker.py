"""Resumed handshakes without Python on both sides: what valgrind runs.

`python -m benchmarks.handshakes.callgrind_worker LOOPS COUNT [COUNT ...]`

A COUNT is [version, side, client_certificate] as JSON. The side is a number of hosts, whose HostMap the listener has;
TicketKeys; or ssl, for OpenSSL's own ticket keys. The instructions of each go to one dump, with the COUNT as its name.
"""

import gc
import json
import random
import ssl
import sys

from benchmarks import native
from benchmarks.handshakes.callgrind import KEYS, Count
from benchmarks.handshakes.handshake import ECDSA, Case, Certificates, Maps, in_map
from pysidctx import TicketKeys


def prepare(listener: ssl.SSLContext, side: str, maps: Maps) -> None:
    if side.isdecimal():
        maps.made[in_map(int(side))].install(listener)
    elif side == KEYS:
        TicketKeys().install(listener)


def shake_hands(counted: Count, loops: int, certificates: Certificates) -> None:
    hosts = int(counted.side) if counted.side.isdecimal() else 1
    case, maps = Case(counted.version, ECDSA, counted.client_certificate), Maps((hosts,))
    listener = certificates.listener(case)
    prepare(listener, counted.side, maps)
    floor = native.load("handshake_cython").Floor(listener, certificates.client_context(case))
    floor.server_time(maps.name(0), False)
    chance = random.Random(0)
    names = [maps.name(chance.randrange(hosts)) for _ in range(loops)]
    floor.server_time(names[0], True)  # what is done once
    floor.counted(names)


def main(loops: int, names: list[str]) -> None:
    certificates = Certificates((ECDSA,))
    gc.disable()
    for name in names:
        shake_hands(Count(*json.loads(name)), loops, certificates)
        native.load("handshake_cython").dump(name)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
