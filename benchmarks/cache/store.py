"""What it takes to store a session and to find it, without OpenSSL's handshake: CPU time of one thread."""

import os
import random
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import Progress
from rich.table import Table

from benchmarks import native
from benchmarks.cache.certificates import issue
from benchmarks.cache.sides import NAME, OWN_CACHE, client_context, listener_of
from benchmarks.handshakes.server_time import server_time
from benchmarks.report import spread, table, verdict

LENGTH = 160  # bytes of an entry's data: a record has about as many
PUT, GET = "put", "get"
READS = "two reads of the memory, one after the other,"
SEAL, OPEN = "seal alone", "open alone"
WANTED = {PUT: 0.7, GET: 0.5}  # us, with the seal, among a million
JUDGED = 1_000_000

Figures = dict[str, list[float]]  # us, one for each round


class Slabs:
    """Entries among so many others."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.made = {size: native.load("cache_cython").Slab(size, LENGTH) for size in sizes}

    def measures(self, chance: random.Random) -> dict[str, Callable[[int], float]]:
        found: dict[str, Callable[[int], float]] = {}
        for size, slab in self.made.items():
            found.update(measures_of(slab, size, chance))
        any_slab = next(iter(self.made.values()))
        found.update({SEAL: lambda loops: any_slab.seal(loops, False),
                      OPEN: lambda loops: any_slab.seal(loops, True)})
        return found


def measures_of(slab: Any, size: int, chance: random.Random) -> dict[str, Callable[[int], float]]:
    return {
        slab_name(PUT, size, True): lambda loops: slab.put(loops, True),
        slab_name(GET, size, True): lambda loops: all_found(slab.get(loops, True, chance.randrange(1 << 60))),
        slab_name(GET, size, False): lambda loops: all_found(slab.get(loops, False, chance.randrange(1 << 60))),
        reach_name(size): lambda loops: slab.reach(loops, chance.randrange(1 << 60))[0],
    }


def reach_name(size: int) -> str:
    return f"{READS} among {size:,}"


def slab_name(call: str, size: int, sealed: bool) -> str:
    return f"{call} among {size:,}{'' if sealed else ', without the seal'}"


def all_found(got: tuple[float, float]) -> float:
    """Two writers of one set can lose an entry; a single one, where half of the places are free, hardly does."""
    assert got[1] > 0.999, got
    return got[0]


class Sessions:
    """A session with a client certificate, and its template."""

    WHOLE = "d2i_SSL_SESSION() of the whole session"

    def __init__(self, folder: Path, sessions: int, more: int) -> None:
        """In a cache with so many sessions, and room for `more` and as many again."""
        listener = listener_of(folder, OWN_CACHE)
        servers: list[ssl.SSLObject] = []

        def keep(server: ssl.SSLObject) -> None:
            if not servers:
                servers.append(server)

        server_time(listener, client_context(folder, "TLS 1.2", 0), NAME, None, keep)
        size = (1 << 20) + 2 * (sessions + more) * 320 * 4 // 3  # of which a quarter is for peers
        file = os.memfd_create("benchmark")
        try:
            os.ftruncate(file, size)
            self.stored = native.load("cache_cython").Stored(servers[0], file, size, int(time.time()))
        finally:
            os.close(file)
        self.stored.store(sessions, True)

    def measures(self, chance: random.Random) -> dict[str, Callable[[int], float]]:
        stored = self.stored
        return {
            self.WHOLE: lambda loops: stored.decode_session(loops // 20 + 1),
            "decode a template: add_template()": lambda loops: stored.decode_template(loops // 20 + 1),
            "duplicate a template": lambda loops: stored.duplicate(loops, False),
            "duplicate a template, apply a record": lambda loops: stored.duplicate(loops, True),
            "describe a peer: describe_peer()": lambda loops: stored.describe(loops // 4 + 1),
            "store_session(), the peer described": lambda loops: stored.store(loops // 4 + 1, False),
            "store_session(), the peer known": lambda loops: stored.store(loops, True),
            "find_session()": lambda loops: stored.find(loops, chance.randrange(1 << 60)),
        }


def measure(sizes: tuple[int, ...], sessions: int, rounds: int, loops: int, chance: random.Random
            ) -> tuple[Figures, Figures, tuple[int, ...]]:
    """The slab's figures, the sessions', and the lengths in bytes of a session, its template and its record."""
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True) as bar:
        issue(Path(folder), 0)
        slabs, one = Slabs(sizes), Sessions(Path(folder), sessions, 2 * rounds * loops)
        parts = slabs.measures(chance), one.measures(chance)
        found: tuple[Figures, ...] = tuple({name: [] for name in part} for part in parts)
        order = [(figures, name, call) for part, figures in zip(parts, found) for name, call in part.items()]
        for _ in bar.track(range(rounds), description="store"):
            chance.shuffle(order)
            for figures, name, call in order:
                figures[name].append(1e6 * call(loops))
    lengths: Any = one.stored.lengths
    return *found, lengths


def drawn(figures: Figures) -> Table:
    made = table(f"Sealed entries of {LENGTH} bytes in shared memory, half full: us, median of the rounds "
                 "(least to most)", "", "us", "wanted", "", "over two reads and the seal alone")
    for name, values in figures.items():
        call, _, size = name.partition(" among ")
        alone = {PUT: SEAL, GET: OPEN}.get(call)
        floor = figures.get(f"{READS} among {size}", [])
        ratio = spread((one / (seal + reads) for one, seal, reads in zip(values, figures[alone], floor)),
                       ".2f") if alone and floor else ""
        judged = name in {slab_name(each, JUDGED, True) for each in (PUT, GET)}
        made.add_row(name, spread(values, ".2f"),
                     *verdict(values, WANTED[call] if judged else None), ratio)
    return made


def sessions(figures: Figures, lengths: tuple[int, ...]) -> Table:
    made = table("A session with a client certificate, RSA-2048, TLS 1.2: {} bytes; its template: {}; its record: {}"
                 .format(*lengths), "", "us", f"over {Sessions.WHOLE}")
    for name, values in figures.items():
        made.add_row(name, spread(values, ".2f"), spread(
            (one / other for one, other in zip(values, figures[Sessions.WHOLE])), ".3f"))
    return made
