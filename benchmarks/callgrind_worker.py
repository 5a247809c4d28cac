"""Handshakes without Python on both sides, with a listener that has a HostMap: what valgrind runs.

`python -m benchmarks.callgrind_worker VERSION HOSTS LOOPS`.
"""

import random
import sys

from benchmarks import native
from benchmarks.handshake import Case, Certificates, Maps, in_map


def main(version: str, hosts: int, loops: int) -> None:
    case, certificates, maps = Case(version, "ECDSA P-256", False), Certificates(), Maps((hosts,))
    listener = certificates.listener(case)
    maps.made[in_map(hosts)].install(listener)
    floor = native.load("handshake_cython").Floor(listener, certificates.client_context(case))
    floor.server_time(maps.name(0), False)
    chance = random.Random(0)
    names = [maps.name(chance.randrange(hosts)) for _ in range(loops)]
    floor.server_time(names[0], True)  # what is done once
    floor.counted(names)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
