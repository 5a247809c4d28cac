"""Loads names into a HostMap by one update(), in a process of its own; prints what that took, as JSON.

    python -m benchmarks.handshakes.hostmap_load NAMES contexts|"id contexts"
"""

import json
import resource
import ssl
import sys
from collections.abc import Callable
from time import perf_counter

from benchmarks import native
from pysidctx import HostMap


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main(count: int, kind: str) -> dict[str, float]:
    name: Callable[[int], str] = native.load("hostmap_cython").name
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(10)]
    names = [name(number) for number in range(count)]
    entries: dict[str, "bytes | ssl.SSLContext"]
    if kind == "contexts":
        entries = {name: contexts[number % 10] for number, name in enumerate(names)}
    else:
        entries = {name: number.to_bytes(32, "big") for number, name in enumerate(names)}
    hosts = HostMap()
    before = resident()
    start = perf_counter()
    hosts.update(entries)
    taken = perf_counter() - start
    assert len(hosts) == count
    beside = (resident() - before - sum(map(len, names))) / count
    return {"seconds": taken, "bytes a name, beside it": beside}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2])))
