"""Ticket keys that nobody uses cost no handshake much, and what a connection needs is found among them."""

import gc
import secrets

import pytest
from tickets import visit

from pysidctx import Host, HostMap, TicketKeys

SECRET = secrets.token_bytes(32)  # that no keys of other tests have
IDLE = 500


@pytest.fixture
def session(make_server_ctx, client_ctx):
    """A session of another worker, which has the same keys; this process has not used them yet."""
    ctx = make_server_ctx()
    TicketKeys.from_secret(SECRET).install(ctx)
    HostMap({"a.test": b"host"}).install(ctx)
    made = visit(ctx, client_ctx)[1]
    del ctx
    gc.collect()  # its keys, which this process has used
    return made


@pytest.fixture
def listener(session, make_server_ctx):
    ctx = make_server_ctx()
    TicketKeys.from_secret(SECRET).install(ctx)
    return ctx


@pytest.mark.parametrize("with_keys", [False, True])
def test_a_host_map_s_connection_has_its_listener_s_keys(
    listener, session, make_server_ctx, client_ctx, with_keys
):
    other = make_server_ctx()
    if with_keys:
        TicketKeys().install(other)
    idle = [TicketKeys() for _ in range(IDLE)]
    HostMap({"a.test": Host(other, b"host")}).install(listener)
    assert visit(listener, client_ctx, session)[0]
    del idle


def test_few_keys_are_derived_to_look_for_one(listener, session, make_server_ctx, client_ctx):
    """Those of a connection that somebody else has switched are found if they are among the first ones."""
    other = make_server_ctx()
    HostMap({"a.test": b"host"}).install(other)

    def switch(ends):
        ends.server.context = other

    idle = [TicketKeys() for _ in range(IDLE)]
    assert not visit(listener, client_ctx, session, before=switch)[0]
    del idle
    assert visit(listener, client_ctx, session, before=switch)[0]
