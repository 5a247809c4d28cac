"""Servers with four workers, as the examples start them: every client that comes back is resumed."""

import pytest
from server_programs import PROGRAMS, VISITS_OF_PROGRAMS, is_resumed_by_another, visits


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_client_is_resumed(start, returning, name, secret):
    processes = set()
    with start(name, secret=secret if PROGRAMS[name].needs_secret else None) as server:
        for client in returning:
            resumed, by = visits(client, [server.port])
            assert resumed == client.visits - 1
            processes |= by
        assert len(processes) > 1 or is_resumed_by_another(returning[0], server.port, processes)


@pytest.mark.parametrize("name", PROGRAMS)
def test_how_many_are_resumed_without_pysidctx(start, returning, name, secret, record_property):
    """By two workers, for comparison."""
    with start(name, plain=True, two_workers=True, secret=secret if PROGRAMS[name].needs_secret else None) as server:
        counts = [visits(client, [server.port], VISITS_OF_PROGRAMS)[0] for client in returning]
    record_property("resumed", counts)
    print(f"{name} alone: {counts} of {VISITS_OF_PROGRAMS - 1}: Python TLS 1.2, 1.3, openssl TLS 1.2, 1.3")


def test_a_factory_of_one_s_own_is_passed_to_spawned_workers(start, returning, secret):
    """It is pickled on its way to them."""
    (name, code), = PROGRAMS["uvicorn"].with_workers(2).files.items()
    own = code.replace("import ssl_context_factory", "import SSLContextFactory").replace(
        "ssl_context_factory=ssl_context_factory",
        "ssl_context_factory=SSLContextFactory(pysidctx.TicketKeys.from_secret_file(), id_context=b'shop')")
    with start("uvicorn", files={name: "import pysidctx\n" + own}, secret=secret) as server:
        for client in returning:
            assert visits(client, [server.port])[0] == client.visits - 1
