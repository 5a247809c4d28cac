"""Fork while other threads serve, and find out where a child hangs that does not end.

    python tests/support/fork_soak.py CERTIFICATE CA [--forks N] [--load serve|change|plain]
                                      [--idle keys|contexts|plain]

A child does nothing but end: what hangs hangs before any code of its own, in the destructors of what idle
threads had that are not in the child. Of the children that hang those are counted apart that wait for a lock
of OpenSSL's, which plain `ssl` has as well. Exits with 1 if any other hangs.
"""

import argparse
import multiprocessing
import os
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Optional

from handshakes import Pair, pair, shake

from pysidctx import Host, HostMap, TicketKeys

PATIENCE = 20  # seconds, of a child that only ends, on a busy machine
NAME = "a.test"
# Of the innermost frame that is not the C library's.
WHERE = """
frame = gdb.newest_frame()
while frame is not None:
    library = gdb.solib_name(frame.pc())
    if library is None or not any(name in library for name in ("/libc.", "/libc-", "/libpthread", "/ld-")):
        break
    frame = frame.older()
print("WHERE", library, frame and frame.name())
"""


class Load:
    """The work of the other threads, and the objects of an idle one."""

    def __init__(self, certificate: str, ca: str) -> None:
        self.certificate, self.ca = certificate, ca
        self.keys = TicketKeys(period=1, lifetime=20)
        self.listener = self.context()
        self.hosts = HostMap({NAME: self.context()})
        self.hosts.install(self.listener)
        self.keys.install(self.listener)
        self.untouched = self.context()
        self.client = ssl.create_default_context(cafile=ca)
        self.stopping = threading.Event()

    def context(self) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(self.certificate)
        return ctx

    def serve(self) -> None:
        self.serve_from(self.listener)

    def plain(self) -> None:
        self.serve_from(self.untouched)

    def serve_from(self, listener: ssl.SSLContext) -> None:
        session: Optional[ssl.SSLSession] = None
        while not self.stopping.is_set():
            ends = shake(pair(listener, self.client, session=session))
            session = ends.client.session

    def change(self) -> None:
        """Without an SSL, nor an SSL_CTX, that is made or freed: OpenSSL locks its own then."""
        hosts = HostMap()
        number = 0
        while not self.stopping.is_set():
            number += 1
            keys = TicketKeys(period=1, lifetime=20)
            keys.install(self.listener)
            hosts["b.test"] = b"%d" % number
            self.hosts["b.test"] = b"%d" % number
            if number % 10 == 0:
                self.hosts.install(self.listener)

    def switched(self) -> Pair:
        """A connection that was switched to a host's context, which is taken out of the map."""
        ctx = self.context()
        hosts = HostMap({NAME: Host(ctx, b"host")})
        listener = self.context()
        hosts.install(listener)
        return shake(pair(listener, self.client))

    def idle_keys(self) -> list[object]:
        return [TicketKeys(), TicketKeys(period=1, lifetime=20), HostMap({NAME: b"host"})]

    def idle_contexts(self) -> list[object]:
        ctx = self.context()
        TicketKeys().install(ctx)
        HostMap({NAME: self.context(), "b.test": b"host"}).install(ctx)
        return [ctx, self.switched(), *self.idle_keys()]

    def idle_plain(self) -> list[object]:
        return [self.context()]


def idle(make: Callable[[], object], stopping: threading.Event) -> threading.Thread:
    """A thread that has something of its own, and waits."""
    own, ready = threading.local(), threading.Event()

    def wait() -> None:
        own.has = make()
        ready.set()
        stopping.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    return thread


def place_of(pid: int) -> str:
    """Return the library and the function in which a process hangs."""
    try:
        ran = subprocess.run(["gdb", "-batch", "-p", str(pid), "-ex", f"python exec({WHERE!r})", "-ex", "bt"],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown, without gdb ({error})"
    for line in ran.stdout.splitlines():
        if line.startswith("WHERE"):
            return line.removeprefix("WHERE ")
    return "unknown: " + ran.stderr[-500:]


def is_openssls(place: str) -> bool:
    return "libcrypto" in place or "libssl" in place


def end_of(pid: int) -> Optional[str]:
    """Wait for the process. If it hangs, end it and return where it hung; otherwise return None."""
    handle = os.pidfd_open(pid)
    ended = select.select([handle], [], [], PATIENCE)[0]
    os.close(handle)
    place = None
    if not ended:
        place = place_of(pid)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    return place if place or status == 0 else f"ended with {os.waitstatus_to_exitcode(status)}"


def forked() -> Optional[str]:
    child = os.fork()
    if child == 0:
        os._exit(0)
    return end_of(child)


def forked_in_a_thread() -> Optional[str]:
    places: list[Optional[str]] = []
    thread = threading.Thread(target=lambda: places.append(forked()))
    thread.start()
    thread.join()
    return places[0]


def forked_by_multiprocessing() -> Optional[str]:
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    assert process.pid is not None
    process.join(PATIENCE)
    if process.exitcode is not None:
        return None if process.exitcode == 0 else f"ended with {process.exitcode}"
    place = place_of(process.pid)
    process.kill()
    process.join()
    return place


def forked_by_subprocess() -> Optional[str]:
    """The parent waits for the child's preexec_fn: another thread looks after it."""
    before, done = children(), threading.Event()
    places: list[str] = []

    def look() -> None:
        if not done.wait(PATIENCE):
            for pid in children() - before:
                places.append(place_of(pid))
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        subprocess.run(["true"], preexec_fn=int)
    except subprocess.SubprocessError as error:
        places.append(str(error))
    done.set()
    thread.join()
    return places[0] if places else None


def children() -> set[int]:
    """Return the child processes that have not ended."""
    with open(f"/proc/self/task/{threading.main_thread().native_id}/children") as file:
        return {int(pid) for pid in file.read().split()}


def main() -> bool:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("certificate")
    parser.add_argument("ca")
    parser.add_argument("--forks", type=int, default=1000)
    parser.add_argument("--load", choices=("serve", "change", "plain"), default="serve")
    parser.add_argument("--idle", choices=("keys", "contexts", "plain"), default="contexts")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    load = Load(chosen.certificate, chosen.ca)
    sys.setswitchinterval(1e-4)
    threads = [idle(getattr(load, f"idle_{chosen.idle}"), load.stopping)]
    threads += [threading.Thread(target=getattr(load, chosen.load)) for _ in range(2)]
    for thread in threads[1:]:
        thread.start()
    ways: list[Callable[[], Optional[str]]] = [
        *17 * [forked], forked_in_a_thread, forked_by_multiprocessing, forked_by_subprocess]
    hung: Counter[str] = Counter()
    begun = time.monotonic()
    try:
        for number in range(chosen.forks):
            place = ways[number % len(ways)]()
            if place is not None:
                hung[place] += 1
                print(f"fork {number}: {place}", flush=True)
    finally:
        load.stopping.set()
        for thread in threads:
            thread.join()
    openssls = sum(count for place, count in hung.items() if is_openssls(place))
    ours = sum(hung.values()) - openssls
    print(f"{chosen.forks} forks in {time.monotonic() - begun:.0f} s, load {chosen.load}, idle {chosen.idle}: {ours} "
          f"hung, and {openssls} at locks of OpenSSL's")
    return ours > 0


if __name__ == "__main__":
    sys.exit(main())
