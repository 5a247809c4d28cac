"""HostMap under threads and fork: handshakes while it changes, and contexts that go meanwhile."""

import gc
import os
import random
import signal
import ssl
import threading

import pytest
from handshakes import connect, id_context
from tries import tries

from pysidctx import Host, HostMap

pytestmark = pytest.mark.usefixtures("switch_often")

CHANGES = int(os.environ.get("CHANGES", 30_000))
HANDSHAKES = tries(1_000)
STEADY = "steady.s.test"  # served by its own entry or by the wildcard, always by one of them


def run(until, workers):
    """Run functions in threads: `workers` run until those in `until` have ended, or until one has failed.

    Each takes a function that returns whether to stop.
    """
    stop, wrong = threading.Event(), []

    def guarded(function):
        try:
            function(stop.is_set)
        except BaseException as error:
            wrong.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(function,)) for function in until + workers]
    for thread in threads:
        thread.start()
    for thread in threads[:len(until)]:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


class Changing:
    """A map that two threads change while others look at it."""

    def __init__(self, make_server_ctx, rng):
        self.listener = make_server_ctx()
        self.rng = rng
        contexts = [make_server_ctx() for _ in range(3)]
        for number, ctx in enumerate(contexts):
            ctx.set_alpn_protocols([f"context{number}"])
        # Each id context with the one context that it goes with.
        self.entries = [Host(ctx, b"context%d" % number) for number, ctx in enumerate(contexts)]
        self.hosts = HostMap({"a.test": self.entries[0], "*.s.test": self.entries[1]})
        self.hosts.install(self.listener)
        self.seen = []
        self.changes = 0

    def enough(self, changes, stopping):
        self.changes += changes
        return stopping() or (self.changes > CHANGES and len(self.seen) > HANDSHAKES)

    def change_names(self, stopping):
        choose = random.Random(self.rng.random())
        while not self.enough(100, stopping):
            for _ in range(99):
                if choose.random() < 0.3:
                    self.hosts.pop("b.test", None)
                else:
                    self.hosts[choose.choice(("a.test", "b.test"))] = choose.choice(self.entries)
            names = [f"new{choose.randrange(1000)}.test" for _ in range(20)]
            self.hosts.update({"a.test": choose.choice(self.entries),
                               **dict.fromkeys(names, choose.choice(self.entries))})

    def change_the_steady_one(self, stopping):
        choose = random.Random(self.rng.random())
        while not self.enough(100, stopping):
            for _ in range(25):
                self.hosts[STEADY] = choose.choice(self.entries)
                del self.hosts["*.s.test"]
                self.hosts["*.s.test"] = choose.choice(self.entries)
                del self.hosts[STEADY]


def test_a_map_changed_tens_of_thousands_of_times(make_server_ctx, make_client_ctx, rng):
    changing = Changing(make_server_ctx, rng)

    def shake_hands(stopping):
        client_ctx = make_client_ctx(check_hostname=False)
        client_ctx.set_alpn_protocols(["context0", "context1", "context2"])
        choose = random.Random(rng.random())
        while not stopping():
            name = choose.choice(("a.test", "b.test", STEADY))
            ends = connect(changing.listener, client_ctx, name=name)
            chosen = ends.server.selected_alpn_protocol()
            assert chosen or name == "b.test"
            assert chosen is None or chosen.encode() == id_context(ends)
            changing.seen.append(chosen)

    run([changing.change_names, changing.change_the_steady_one], 4 * [shake_hands])
    assert set(changing.seen) == {"context0", "context1", "context2", None}
    assert changing.hosts.stats().matched == len(changing.seen) - changing.seen.count(None)


def test_what_is_always_there_is_always_found(make_server_ctx, rng):
    changing = Changing(make_server_ctx, rng)

    def look(stopping):
        while not stopping():
            assert changing.hosts.match(STEADY) is not None
            assert changing.hosts.match("a.test") == "a.test"
            assert "a.test" in list(changing.hosts)
            changing.seen.append(None)

    run([changing.change_names, changing.change_the_steady_one], 2 * [look])


def test_contexts_are_made_and_deleted_in_mid_handshake(make_server_ctx, make_client_ctx):
    listener = make_server_ctx()
    listener.set_ecdh_curve("secp384r1")  # a second ClientHello, for which OpenSSL calls them back
    hosts = HostMap({"a.test": b"x"})
    hosts.install(listener)

    def replace(stopping):
        for number in range(200):
            ctx = make_server_ctx()
            ctx.set_alpn_protocols(["chosen"])
            if number % 2:
                ctx.cycle = hosts
            hosts["a.test"] = ctx
            del ctx
            if number % 10 == 0:
                gc.collect()
            if number % 7 == 0:
                hosts.clear()

    def shake_hands(stopping):
        client_ctx = make_client_ctx()
        client_ctx.set_alpn_protocols(["chosen"])
        while not stopping():
            connect(listener, client_ctx)

    run([replace], 2 * [shake_hands])
    assert hosts.stats().matched > 0
    assert hosts.stats().rejected == hosts.stats().malformed == 0


def test_maps_are_installed_and_uninstalled_meanwhile(make_server_ctx, make_client_ctx):
    listener = make_server_ctx()

    def change(stopping):
        for number in range(CHANGES // 33):
            hosts = HostMap({"a.test": b"map", "*.b.test": make_server_ctx() if number % 50 == 0 else b"x"})
            hosts.install(listener)
            if number % 2:
                hosts.uninstall(listener)

    def shake_hands(stopping):
        client_ctx = make_client_ctx()
        while not stopping():
            assert id_context(connect(listener, client_ctx)) in (b"map", b"Python\0")

    run([change], 2 * [shake_hands])


def test_a_context_that_ends_may_change_the_map(make_server_ctx, client_ctx, certificate):
    other, listener = make_server_ctx(), make_server_ctx()
    other.set_alpn_protocols(["other"])
    client_ctx.set_alpn_protocols(["other"])

    class Ending(ssl.SSLContext):
        def __del__(self):
            hosts["a.test"] = Host(other, b"again")

    def ending():
        ctx = Ending(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(ctx)
        return ctx

    hosts = HostMap({f"{n}.test": Host(ending(), b"ends") for n in range(20)})
    hosts.install(listener)
    for _ in range(20):
        hosts.update({"a.test": Host(other, b"first"),
                      "b.test": Host(ending(), b"ends")})
        hosts.clear()
        assert hosts == {"a.test": Host(other, b"again")}
        assert connect(listener, client_ctx).server.selected_alpn_protocol() == "other"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_callbacks_that_a_fork_left_behind_are_not_waited_for(make_server_ctx, make_client_ctx):
    listener = make_server_ctx()
    hosts = HostMap({"a.test": make_server_ctx()})
    hosts.install(listener)
    ended = []

    def fork(stopping):
        for _ in range(50):
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(20)
                # No handshake: locks of OpenSSL's may have been left behind as well.
                hosts["a.test"] = b"child"
                hosts.clear()
                os._exit(0)
            ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def shake_hands(stopping):
        client_ctx = make_client_ctx()
        while not stopping():
            connect(listener, client_ctx)

    run([fork], 2 * [shake_hands])
    assert ended == 50 * [0]
