"""The clients, in threads without the GIL, that load one server in a turn."""

import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks import native
from benchmarks.connections.cases import Turn
from benchmarks.connections.servers import Running
from loopback.processes import wait_until
from pysidctx.cli.cpu_time import cpu_time

CLIENTS = 8  # at once


class Load:
    """Clients of one server, each in a thread, with the last session that each received."""

    def __init__(self, ctx: ssl.SSLContext, server: Running, pool: ThreadPoolExecutor, folder: Path,
                 hosts: int) -> None:
        self.ctx, self.server, self.pool = ctx, server, pool
        self.clients = [native.load("load_cython").Client(number, CLIENTS, hosts)
                        for number in range(CLIENTS)]
        for client in self.clients:  # each gets a session, from a server that may still be starting
            wait_until(partial(client.visits, ctx, "localhost", server.port, 1, 100), server.process, folder)

    def turn(self, connections: int, returning: int) -> Turn:
        spent, own, start = cpu_time(self.server.process.pid), time.process_time(), time.perf_counter()
        each = list(self.pool.map(
            lambda client: client.visits(self.ctx, "localhost", self.server.port, connections // CLIENTS,
                                         returning), self.clients))
        taken, own = time.perf_counter() - start, time.process_time() - own
        spent = cpu_time(self.server.process.pid) - spent
        latencies = [1000 * seconds for _, _, found in each for seconds in found]
        count = len(latencies)
        return Turn(count / taken, spent / count * 1e6, own / (own + spent),
                    sum(offered for offered, _, _ in each), sum(resumed for _, resumed, _ in each),
                    latencies)
