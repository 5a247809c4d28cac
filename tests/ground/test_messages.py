"""The messages for common mistakes: each says what to do instead."""

import asyncio
import re
import ssl
from functools import partial
from pathlib import Path

import pytest
from handshakes import pair, shake
from machine import module

from pysidctx import (
    Host,
    HostMap,
    Session,
    TicketKeys,
    context_fingerprint,
    derive_session_id_context,
    resumable,
    set_session_id_context,
)


@pytest.mark.parametrize("value", ["server.pem", Path("server.pem")])
def test_a_file_as_a_host(value, server_ctx):
    for refused in (value, Host(value, b"a")):
        with pytest.raises(TypeError, match=r"load the certificate of a file into an ssl\.SSLContext, with load_"):
            HostMap()["a.test"] = refused
    with pytest.raises(TypeError, match=r"id context in bytes, or Host\(context, session_id_context\), not "):
        HostMap()["a.test"] = value
    with pytest.raises(TypeError, match="load_cert_chain"):
        TicketKeys().install(value)


@pytest.mark.parametrize("pattern, message", [
    ("shop.example:443", "leave out the port: 'shop.example'"),
    ("*.shop.example:443", "leave out the port: '*.shop.example'"),
    ("https://shop.example", "leave out the scheme: 'shop.example'"),
    ("https://shop.example:443/cart", "leave out the scheme and the path and the port: 'shop.example'"),
    ("https://user:password@shop.example/", "leave out the scheme and the path and what comes before the @"),
    ("shop.example/", "leave out the path: 'shop.example'"),
    ("/etc/ssl/shop.pem", "leave out the path"),
    ("me@shop.example", "leave out what comes before the @: 'shop.example'"),
    (" shop.example\n", "leave out the spaces: 'shop.example'"),
    ("bücher.example:443", "leave out the port"),
    ("bücher.example", "write its A-label, 'xn--bcher-kva.example'"),
    ("::1", "it is an IP address"), ("[::1]", "it is an IP address"), ("[::1]:443", "it is an IP address"),
    ("2001:db8::1", "it is an IP address"), ("192.0.2.1", "it is an IP address"),
    ("192.0.2.1:443", "it is an IP address"), ("https://192.0.2.1/", "it is an IP address"),
    ("a!.example", "only letters, digits"), ("a..example", "between, its dots"), ("*", "a wildcard is"),
    ("", "it is empty"), ("://", "leave out the scheme"),
])
def test_patterns_that_are_more_than_a_name(pattern, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        HostMap()[pattern] = b"a"
    assert str(caught.value).startswith(f"host pattern {pattern!r}: ")


@pytest.mark.parametrize("call, message", [
    (lambda ctx, keys, hosts: set_session_id_context(b"x", ctx), "set_session_id_context(target, sid_ctx)"),
    (lambda ctx, keys, hosts: resumable(keys, ctx), "resumable(ctx, keys)"),
    (lambda ctx, keys, hosts: HostMap({ctx: "a.example"}), "{'shop.example': ctx}"),
    (lambda ctx, keys, hosts: HostMap({b"a.example": ctx}), ".decode('ascii')"),
    (lambda ctx, keys, hosts: HostMap({"a.example": Host(b"a", ctx)}), "Host(context, session_id_context)"),
    (lambda ctx, keys, hosts: HostMap({"a.example": (ctx, b"a")}), "Host(context, session_id_context), not tuple"),
    (lambda ctx, keys, hosts: HostMap({"a.example": keys}), "keys.install(ctx)"),
    (lambda ctx, keys, hosts: HostMap(ctx), "{'shop.example': ctx}"),
    (lambda ctx, keys, hosts: HostMap("a.example"), "{'shop.example': ctx}"),
    (lambda ctx, keys, hosts: keys.install(hosts), "pass its listener, the SSLContext"),
    (lambda ctx, keys, hosts: keys.uninstall(hosts), "pass its listener, the SSLContext"),
    (lambda ctx, keys, hosts: hosts.install(keys), "keys.install(ctx)"),
    (lambda ctx, keys, hosts: set_session_id_context(hosts, b"x"), "pass its listener, the SSLContext"),
    (lambda ctx, keys, hosts: keys.install(Host(ctx, b"a")), "pass its `context`"),
    (lambda ctx, keys, hosts: derive_session_id_context("shop", ctx), "context_fingerprint()"),
    (lambda ctx, keys, hosts: Session.of(ctx), "pass a connection"),
    (lambda ctx, keys, hosts: set_session_id_context(None, b"x"), "not NoneType"),
])
def test_arguments_in_other_places(call, message, server_ctx):
    with pytest.raises(TypeError, match=re.escape(message)):
        call(server_ctx, TicketKeys(), HostMap())


def test_connections_and_sessions_in_other_places(server_ctx, client_ctx):
    ends = shake(pair(server_ctx, client_ctx))
    session = Session.of(ends.client)
    for call, message in (
        (lambda: set_session_id_context(b"x", ends.client), "swapped"),
        (lambda: context_fingerprint(ends.client), "the SSLContext that makes"),
        (lambda: TicketKeys().install(ends.server._sslobj), "the SSLContext that makes"),
        (lambda: session.resume_on(client_ctx), "pass a connection"),
        (lambda: session.resume_on(session), r"resume_on\(conn\)"),
        (lambda: Session.of(session), "taken from a connection"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


@pytest.mark.parametrize("call, message", [
    (lambda ctx: TicketKeys().install(ctx), "ticket keys are installed on an SSLContext of PROTOCOL_TLS_SERVER"),
    (lambda ctx: resumable(ctx, TicketKeys()), "resumable() takes an SSLContext of PROTOCOL_TLS_SERVER"),
    (lambda ctx: HostMap().install(ctx), "a HostMap is installed on an SSLContext of PROTOCOL_TLS_SERVER"),
    (lambda ctx: HostMap({"a.test": ctx}), "a host has an SSLContext of PROTOCOL_TLS_SERVER"),
])
def test_clients_contexts(call, message, client_ctx):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(client_ctx)


async def writer_and_transport(server_ctx, client_ctx):
    """What a user of asyncio has in hand where a connection is expected."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", ssl=server_ctx)
    address = server.sockets[0].getsockname()
    _, writer = await asyncio.open_connection(*address[:2], ssl=client_ctx, server_hostname="a.test")
    for target in (writer, writer.transport):
        for call in (partial(set_session_id_context, target, b"x"), partial(Session.of, target)):
            with pytest.raises(TypeError, match=r"get_extra_info\('ssl_object'\)"):
                call()
    assert Session.of(writer.get_extra_info("ssl_object"))
    with pytest.raises(TypeError, match="not asyncio"):
        set_session_id_context(server, b"x")
    writer.close()
    server.close()


def test_transports_of_asyncio(server_ctx, client_ctx):
    asyncio.run(writer_and_transport(server_ctx, client_ctx))


def test_transports_of_uvloop(server_ctx, client_ctx):
    loop = module("uvloop", "uvloop").new_event_loop()
    try:
        with pytest.raises(TypeError, match=r"uvloop.*get_extra_info\('ssl_object'\)"):
            loop.run_until_complete(plain_transport(loop))
    finally:
        loop.close()


async def plain_transport(loop):
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    try:
        set_session_id_context(transport, b"x")
    finally:
        transport.close()
        server.close()


def test_contexts_of_urllib3_with_pyopenssl():
    module("OpenSSL.SSL", "pyOpenSSL")
    made = type("PyOpenSSLContext", (), {"__module__": "urllib3.contrib.pyopenssl"})()
    with pytest.raises(TypeError, match="pyOpenSSL's.*take one of ssl"):
        set_session_id_context(made, b"x")


def test_the_class_of_a_context():
    with pytest.raises(TypeError, match="the class SSLContext: pass an instance"):
        TicketKeys().install(ssl.SSLContext)
