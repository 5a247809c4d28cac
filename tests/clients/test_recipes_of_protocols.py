"""Clients of other protocols than HTTP resume by the documentation's recipes: mail, WebSocket and MQTT."""

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
import warnings

import pytest
from machine import module, program
from recipes import HOST, REQUESTS, WAYS, client_context, recipe
from servers import TIMEOUT, accepting

from loopback.processes import free_port, start, stop, wait_until

RESUMED = [False] + (REQUESTS - 1) * [True]

# As another user, it could not read the folder.
MOSQUITTO = """
user root
listener {port} 127.0.0.1
certfile {folder}/server.pem
keyfile {folder}/server.pem
allow_anonymous true
persistence false
set_tcp_nodelay true
"""


@pytest.fixture(params=WAYS)
def ctx(request, pem_files):
    return client_context(pem_files[1], request.param)


@pytest.fixture
def resumed(seen):
    """Whether each handshake of a client was."""
    return seen.resumed


@pytest.fixture
def server_ctx(pem_files):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pem_files[0])
    return made


@contextlib.contextmanager
def running_loop():
    """An event loop in a thread: what runs a coroutine in it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(TIMEOUT)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def smtp_port(server_ctx):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it uses what CPython 3.17 removes
        smtp = module("aiosmtpd.smtp", "aiosmtpd")
        handlers = module("aiosmtpd.handlers", "aiosmtpd")

    async def serve():
        return await asyncio.get_running_loop().create_server(
            lambda: smtp.SMTP(handlers.Sink(), tls_context=server_ctx), "127.0.0.1", 0)

    async def close(server):
        server.close()
        await server.wait_closed()

    with running_loop() as run:
        server = run(serve())
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            run(close(server))


def test_smtp_with_starttls(ctx, smtp_port, seen):
    connect = recipe("connect_to_smtp")
    for _ in range(REQUESTS):
        with connect(ctx, HOST, smtp_port) as smtp:
            assert smtp.noop()[0] == 250
    assert seen.resumed == RESUMED
    assert seen.no_delay == REQUESTS * [True]


def serve_imap(plain, server_ctx):
    """Understands what a client says until it logs out."""
    with contextlib.suppress(OSError), plain:
        plain.settimeout(TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = plain
        plain.sendall(b"* OK hello\r\n")
        while True:
            words = connection.recv(4096).split()
            if not words:
                return
            tag, command = words[:2]
            if command == b"CAPABILITY":
                connection.sendall(b"* CAPABILITY IMAP4REV1 STARTTLS\r\n")
            if command == b"LOGOUT":
                connection.sendall(b"* BYE\r\n")
            connection.sendall(tag + b" OK done\r\n")
            if command == b"STARTTLS":
                connection = server_ctx.wrap_socket(plain, server_side=True)
            if command == b"LOGOUT":
                with connection:
                    connection.unwrap()  # or OpenSSL would remove the session
                return


def test_imap_with_starttls(ctx, server_ctx, seen):
    connect = recipe("connect_to_imap")
    with accepting(lambda plain: threading.Thread(target=serve_imap, args=(plain, server_ctx)).start()) as address:
        for _ in range(REQUESTS):
            with connect(ctx, HOST, address[1]) as imap:
                assert imap.noop()[0] == "OK"
    assert seen.resumed == RESUMED
    assert seen.no_delay == REQUESTS * [True]


@pytest.fixture
def websocket_url(server_ctx):
    server = module("websockets.asyncio.server", "websockets")

    async def echo(connection):
        async for message in connection:
            await connection.send(message.upper())

    async def serve():
        return await server.serve(echo, "127.0.0.1", 0, ssl=server_ctx)

    async def close(serving):
        serving.close()
        await serving.wait_closed()

    with running_loop() as run:
        serving = run(serve())
        try:
            yield f"wss://{HOST}:{serving.sockets[0].getsockname()[1]}"
        finally:
            run(close(serving))


def test_websockets_in_threads(ctx, websocket_url, seen, capsys):
    say = recipe("say")
    failures = (TimeoutError, ssl.SSLError, module("websockets.exceptions", "websockets").WebSocketException)
    broken = 0
    for _ in range(REQUESTS):
        try:
            say(ctx, websocket_url, "hello")
        except failures:
            # It reads and writes in two threads at once, which OpenSSL does not allow: one connection in thousands
            # hangs after its handshake or fails with an internal error, with sessions or without.
            broken += 1
            say(ctx, websocket_url, "hello")
    assert not seen.resumed[0] and seen.resumed.count(False) <= 1 + broken
    assert len(seen.resumed) >= REQUESTS
    assert all(seen.no_delay)
    assert capsys.readouterr().out == REQUESTS * "HELLO\n"


# asyncio says so up to CPython 3.10 if the server has closed the connection first.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_websockets_in_a_loop(ctx, websocket_url, resumed, capsys):
    say = recipe("say_in_loop")

    async def repeat():
        for _ in range(REQUESTS):
            await say(ctx, websocket_url, "hello")

    asyncio.run(repeat())
    gc.collect()  # the transports
    assert resumed == RESUMED
    assert capsys.readouterr().out == REQUESTS * "HELLO\n"


@pytest.fixture
def mqtt_port(tmp_path, pem_files):
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(MOSQUITTO.format(port=port, folder=tmp_path))
    process = start([program("mosquitto", "mosquitto"), "-c", tmp_path / "mosquitto.conf"], tmp_path)
    try:
        wait_until(lambda: recipe("open_tls")(client_context(pem_files[1]), HOST, port).close(), process, tmp_path)
        yield port
    finally:
        stop(process)


@pytest.mark.one_python
def test_mqtt(ctx, mqtt_port, resumed):
    resumed.clear()
    make = recipe("client_of_mqtt")
    no_delay, answers = [], []

    def on_connect(client, userdata, flags, reason, properties):
        no_delay.append(client.socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        client.disconnect()

    for _ in range(REQUESTS):
        client = make(ctx)
        client.on_connect = on_connect
        client.on_disconnect = lambda client, userdata, flags, reason, properties: answers.append(reason)
        client.connect(HOST, mqtt_port)
        client.loop_forever()
    assert [str(each) for each in answers] == REQUESTS * ["Normal disconnection"]
    assert resumed == RESUMED
    assert all(no_delay)
