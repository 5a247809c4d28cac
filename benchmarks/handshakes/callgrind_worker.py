"""Resumed handshakes without Python on both sides: what valgrind runs.

`python -m benchmarks.handshakes.callgrind_worker VERSION SIDE CERTIFICATE LOOPS`

SIDE is a number of hosts, whose HostMap the listener has; TicketKeys; or ssl, for OpenSSL's own ticket keys.
CERTIFICATE is client, or none.
"""

import random
import ssl
import sys

from benchmarks import native
from benchmarks.handshakes.callgrind import KEYS
from benchmarks.handshakes.handshake import Case, Certificates, Maps, in_map
from pysidctx import TicketKeys


def prepare(listener: ssl.SSLContext, side: str, maps: Maps) -> None:
    if side.isdecimal():
        maps.made[in_map(int(side))].install(listener)
    elif side == KEYS:
        TicketKeys().install(listener)


def main(version: str, side: str, certificate: str, loops: int) -> None:
    hosts = int(side) if side.isdecimal() else 1
    case, certificates, maps = Case(version, "ECDSA P-256", certificate == "client"), Certificates(), Maps((hosts,))
    listener = certificates.listener(case)
    prepare(listener, side, maps)
    floor = native.load("handshake_cython").Floor(listener, certificates.client_context(case))
    floor.server_time(maps.name(0), False)
    chance = random.Random(0)
    names = [maps.name(chance.randrange(hosts)) for _ in range(loops)]
    floor.server_time(names[0], True)  # what is done once
    floor.counted(names)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
