"""A server and its client in one process, whose sessions go to other machines.

    python -m benchmarks.cache.latency_worker FOLDER PORT

PORT is that of a Valkey server; 0: the sessions stay here. Each line of the input is a case and a number of handshakes.
It is answered by their latencies, in us, and by how often they gave up the processor to wait for something. Waiting
for the GIL while another thread has it is in both.
"""

import json
import resource
import ssl
import sys
import time
from pathlib import Path

from benchmarks import native
from benchmarks.cache.sides import NAME, RESUMED, client_context
from benchmarks.handshakes.server_time import VERSIONS
from pysidctx import SessionCache


def main(folder: Path, port: int) -> None:
    listener = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listener.load_cert_chain(folder / "server.pem")
    listener.load_verify_locations(folder / "ca.pem")
    listener.verify_mode = ssl.CERT_REQUIRED
    cache = SessionCache.from_secret(bytes(32))
    cache.install(listener)
    if port:
        from pysidctx.valkey import Channel

        replication = cache.replicate(Channel(f"valkey://127.0.0.1:{port}"))
        while not replication.leading:
            time.sleep(0.01)
    floor = native.load("handshake_cython").Floor
    floors = {version: floor(listener, client_context(folder, version, 0), True) for version in VERSIONS}
    for made in floors.values():
        made.server_time(NAME, False)
    for line in sys.stdin:
        case, count = json.loads(line)
        version, kind = case.split(", ")
        before = waits()
        taken = [latency(floors[version], kind == RESUMED) for _ in range(count)]
        print(json.dumps([taken, waits() - before]), flush=True)


def waits() -> int:
    """How often this thread has waited; that others had the processor does not count."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def latency(floor, resume: bool) -> float:  # type: ignore[no-untyped-def]
    begun = time.perf_counter()
    floor.server_time(NAME, resume)
    return (time.perf_counter() - begun) * 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
