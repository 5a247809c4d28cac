"""Kill and stop workers that share a SessionCache, at any moment, and see that the others go on, without a mistake.

    python tests/support/cache_soak.py CERTIFICATE CA [--kills N] [--seed N]

Each worker serves clients with certificates, in its own process, and resumes sessions that the others have stored.
Exits with 1 if one ends otherwise than by SIGKILL, if a client resumes with another's certificate, if a worker stands
still, or if nothing is resumed.
"""

import argparse
import mmap
import os
import random
import signal
import ssl
import struct
import sys
import tempfile
import time
from pathlib import Path

import trustme
from forks import forked
from handshakes import VERSIONS, Pair
from tickets import visit

from pysidctx import Session, SessionCache, set_session_id_context

WORKERS = 4
CLIENTS = 6
SIZE = 1 << 20
PATIENCE = 60  # seconds
FIELDS = 3     # of each worker's counts: connections, resumed ones, wrong ones


class Soak:
    def __init__(self, certificate: str, ca: str, folder: Path) -> None:
        self.folder = folder
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_ctx.load_cert_chain(certificate)
        authority.configure_trust(self.server_ctx)
        self.server_ctx.verify_mode = ssl.CERT_REQUIRED
        set_session_id_context(self.server_ctx, b"soak")
        self.clients = [self.client(ca, authority, number) for number in range(CLIENTS)]
        self.peers = [ssl.PEM_cert_to_DER_cert(pem) for _, pem in self.clients]
        self.counts = mmap.mmap(-1, WORKERS * FIELDS * 8)

    def client(self, ca: str, authority: trustme.CA, number: int) -> tuple[ssl.SSLContext, str]:
        made = authority.issue_cert(f"client{number}@a.test", key_type=trustme.KeyType.ECDSA)
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.load_verify_locations(ca)
        made.configure_cert(ctx)
        ctx.minimum_version = ctx.maximum_version = VERSIONS[number % 2]
        return ctx, made.cert_chain_pems[0].bytes().decode()

    def cache(self) -> SessionCache:
        return SessionCache.from_secret(bytes(32), memory=self.folder / "memory", size=SIZE)

    def count(self, worker: int, field: int) -> int:
        number: int = struct.unpack_from("=Q", self.counts, (worker * FIELDS + field) * 8)[0]
        return number

    def add(self, worker: int, field: int) -> None:
        struct.pack_into("=Q", self.counts, (worker * FIELDS + field) * 8, self.count(worker, field) + 1)

    def total(self, field: int) -> int:
        return sum(self.count(worker, field) for worker in range(WORKERS))

    def connect(self, worker: int, client: int, last: Path) -> None:
        """Resume what the client has, from whatever worker, and leave there what it gets."""
        try:
            session = Session.load(last, id_context=None, host="a.test")
        except OSError:
            session = None
        ends: list[Pair] = []
        resumed, session = visit(self.server_ctx, self.clients[client][0], session, before=ends.append)
        self.add(worker, 0)
        if resumed:
            self.add(worker, 1)
        if ends[0].server.getpeercert(binary_form=True) != self.peers[client]:
            self.add(worker, 2)
        mine = last.with_suffix(f".{worker}")
        session.save(mine)
        os.replace(mine, last)

    def work(self, worker: int) -> None:
        rng = random.Random(os.urandom(8))
        cache = self.cache()
        cache.install(self.server_ctx)
        while True:
            client = rng.randrange(CLIENTS)
            self.connect(worker, client, self.folder / f"session{client}")
            if rng.randrange(100) == 0:
                cache.forget(peer=self.peers[client])

    def start(self, worker: int) -> int:
        child = forked()
        if child == 0:
            try:
                self.work(worker)
            finally:
                os._exit(1)
        return child

    def wait_for_others(self, worker: int) -> None:
        """All others go on."""
        before = [self.count(other, 0) for other in range(WORKERS)]
        end = time.monotonic() + PATIENCE
        while any(self.count(other, 0) <= before[other] for other in range(WORKERS) if other != worker):
            if time.monotonic() > end:
                raise SystemExit("a worker stands still")
            time.sleep(0.001)


def ended(child: int) -> str:
    """How a process ended that was killed; empty if by that."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if status == -signal.SIGKILL else f"a worker ended with {status}"


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("certificate")
    parser.add_argument("ca")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    rng = random.Random(chosen.seed)
    faults: list[str] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(chosen.certificate, chosen.ca, Path(folder))
        children = [soak.start(worker) for worker in range(WORKERS)]
        try:
            for number in range(chosen.kills):
                time.sleep(rng.random() / 50)
                worker = rng.randrange(WORKERS)
                if number % 3 == 0:  # stopped, perhaps in the middle of a put, and then killed, or not
                    os.kill(children[worker], signal.SIGSTOP)
                    soak.wait_for_others(worker)
                    if rng.randrange(2):
                        os.kill(children[worker], signal.SIGCONT)
                os.kill(children[worker], signal.SIGKILL)
                faults.append(ended(children[worker]))
                children[worker] = soak.start(worker)
            soak.wait_for_others(-1)
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                faults.append(ended(child))
        connections, resumed, wrong = map(soak.total, range(FIELDS))
    faults = [fault for fault in faults if fault]
    print(f"{chosen.kills} kills in {time.monotonic() - begun:.0f} s: {connections} connections, {resumed} resumed, "
          f"{wrong} with another client's certificate", *faults, sep="\n")
    return bool(faults or wrong or not resumed)


if __name__ == "__main__":
    sys.exit(main())
