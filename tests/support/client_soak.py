"""Make client connections that keep and resume sessions, over and over, and see that the process does not grow.

    python tests/support/client_soak.py CERTIFICATE CA [--rounds N] [--seed N]

Connections of TLS 1.2 and 1.3, to more hosts than are kept, by contexts that stay and others that come and go; some
break off in the middle of the handshake. Exits with 1 if the memory of the process has grown by more than 1 MiB since
the first tenth of the rounds, or if nothing was resumed.
"""

import argparse
import random
import ssl
import sys
import tempfile
from collections import Counter
from pathlib import Path

import handshakes

import pysidctx

HOSTS = 40       # that are kept
NAMES = 100
ALLOWED = 1024   # KiB
PARTS = 10


class Soak:
    def __init__(self, certificate: str, ca: str, folder: Path, chance: random.Random) -> None:
        self.ca, self.chance, self.file = ca, chance, folder / "sessions"
        self.done: Counter[str] = Counter()
        self.server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_ctx.load_cert_chain(certificate)
        self.sessions = pysidctx.ClientSessions(hosts=HOSTS)
        self.clients = [self.client(version) for version in handshakes.VERSIONS]

    def client(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = False  # there are more names than in the certificate
        ctx.load_verify_locations(self.ca)
        ctx.minimum_version = ctx.maximum_version = version
        return self.sessions.install(ctx, share=True)

    def round(self, number: int) -> None:
        client = self.chance.choice(self.clients)
        if number % 50 == 0:
            client = self.client(self.chance.choice(handshakes.VERSIONS))
        # Most return to a few hosts, so that most are resumed.
        name = f"host{int(NAMES * self.chance.random() ** 4)}.test"
        ends = handshakes.pair(self.server_ctx, client, name=name)
        if self.chance.random() < 0.02:
            self.break_off(ends)
            return
        handshakes.shake(ends)
        self.done["resumed" if ends.client.session_reused else "full"] += 1
        if self.chance.random() < 0.5:
            handshakes.close(ends)
        if number % 997 == 0:
            self.sessions.forget(name)
        if number % 4999 == 0:
            self.sessions.save(self.file)
            self.sessions.clear()
            self.sessions.load(self.file)

    def break_off(self, ends: handshakes.Pair) -> None:
        """The server goes away after its first flight, or says nothing at all."""
        for end in (ends.client, ends.server)[:self.chance.randint(1, 2)]:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
        self.done["broken off"] += 1


def memory() -> int:
    """Of this process that is resident, in KiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("certificate")
    parser.add_argument("ca")
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    arguments = parser.parse_args()
    print(f"PYSIDCTX_SEED={arguments.seed}")
    used = []
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(arguments.certificate, arguments.ca, Path(folder), random.Random(arguments.seed))
        for part in range(PARTS):
            for number in range(arguments.rounds * part // PARTS, arguments.rounds * (part + 1) // PARTS):
                soak.round(number)
            used.append(memory())
    print(f"{dict(soak.done)}, {soak.sessions.stats()}")
    print(f"{arguments.rounds:,} rounds: {used} KiB")
    return used[-1] - used[0] > ALLOWED or not soak.done["resumed"]


if __name__ == "__main__":
    sys.exit(main())
