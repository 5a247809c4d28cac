"""One TLS connection of a client, and all that it shows of its server."""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Optional, TypeVar

from pysidctx.session import Session

T = TypeVar("T")

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}

# Seconds that a server of TLS 1.3 has after the handshake for its tickets, or for an alert.
SETTLE = 1.0

TIMEOUTS = TimeoutError, socket.timeout  # one and the same from Python 3.10 on

# Of RFC 8446, section 4 and appendix B; in TLS 1.2 they are the same.
HANDSHAKE, ALERT = 22, 21
NEW_SESSION_TICKET, CERTIFICATE, CERTIFICATE_REQUEST = 4, 11, 13
FATAL = 2
ALERTS = {
    40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
    44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
    47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
    51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
    80: "internal_error", 86: "inappropriate_fallback", 109: "missing_extension",
    110: "unsupported_extension", 112: "unrecognized_name", 116: "certificate_required",
    120: "no_application_protocol",
}


class Target(NamedTuple):
    """Where to connect: `address` is what `host` was found to be, or another machine of it."""

    host: str
    port: int
    address: str

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Client(NamedTuple):
    """How a connection is made."""

    version: Optional[str] = None       # a key of VERSIONS; None: either
    tickets: bool = True                # False: takes none, so that TLS 1.2 has session ids alone
    certificate: Optional[str] = None   # a PEM file with the client's chain and key
    verify: bool = False                # the server's certificate
    ca_file: Optional[str] = None       # by which; None: the system's CAs
    timeout: float = 5.0                # seconds, for the whole of a connection
    request: bool = False               # ask for a page in TLS 1.3: some give tickets only with an answer


class Ticket(NamedTuple):
    """A ticket as it came over the wire."""

    lifetime: int  # seconds; in TLS 1.2 a hint, and 0 says nothing
    data: bytes


class Seen(NamedTuple):
    """What a connection showed."""

    heard: bool                   # whether the server said anything in TLS
    admitted: bool                # the handshake is done, and no refusal came after it
    refusal: str                  # why not
    resumed: bool
    certificate: Optional[bytes]  # the server's own, in DER; None in a resumed handshake
    asked: bool                   # it asked for a client's certificate
    tickets: list[Ticket]
    session: Optional[Session]    # if it can be resumed
    distrust: str                 # why the server's certificate was not accepted, where it is verified


class Messages:
    """What the server says in the handshake, and in what belongs to it."""

    def __init__(self) -> None:
        self.heard = self.asked = False
        self.certificate: Optional[bytes] = None
        self.tickets: list[Ticket] = []
        self.alert = ""

    def __call__(self, connection: object, direction: str, version: int, content: int,
                 message: int, data: bytes) -> None:
        """As the message callback of SSL_CTX_set_msg_callback(3)."""
        if direction != "read" or content not in (HANDSHAKE, ALERT):
            return
        self.heard = True
        tls13 = version == ssl.TLSVersion.TLSv1_3
        if content == ALERT:
            if data[0] == FATAL:
                self.alert = f"alert {ALERTS.get(data[1], data[1])}"
        elif message == CERTIFICATE_REQUEST:
            self.asked = True
        elif message == CERTIFICATE:
            self.certificate = first_certificate(data, tls13)
        elif message == NEW_SESSION_TICKET:
            self.tickets.append(ticket_in(data, tls13))


def part(data: bytes, size: int) -> tuple[bytes, bytes]:
    """A vector whose length takes `size` bytes, and what follows it."""
    end = size + int.from_bytes(data[:size], "big")
    return data[size:end], data[end:]


def first_certificate(message: bytes, tls13: bool) -> Optional[bytes]:
    """Of a Certificate message: RFC 8446, section 4.4.2; RFC 5246, section 7.4.2."""
    body = message[4:]
    if tls13:
        _, body = part(body, 1)  # the context of a request
    entries, _ = part(body, 3)
    first, _ = part(entries, 3)
    return first or None


def ticket_in(message: bytes, tls13: bool) -> Ticket:
    """Of a NewSessionTicket message: RFC 8446, section 4.6.1; RFC 5077, section 3.3."""
    body = message[4:]
    lifetime, body = int.from_bytes(body[:4], "big"), body[4:]
    if tls13:
        _, body = part(body[4:], 1)  # after what is added to its age: a nonce
    return Ticket(lifetime, part(body, 2)[0])


def context(client: Client, messages: Messages) -> ssl.SSLContext:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if client.verify:
        ctx.load_verify_locations(client.ca_file) if client.ca_file else ctx.load_default_certs()
    else:
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        ctx.set_ciphers("DEFAULT:@SECLEVEL=0")  # to look at a server is not to trust it
    if client.version is not None:
        ctx.minimum_version = ctx.maximum_version = VERSIONS[client.version]
    if not client.tickets:
        ctx.options |= ssl.OP_NO_TICKET
    if client.certificate is not None:
        load_certificate(ctx, client.certificate)
    # For debugging, says CPython, which has had it since 3.8: nothing else tells whether a server has
    # asked for a certificate, or shows that of one that refuses.
    setattr(ctx, "_msg_callback", messages)
    return ctx


def load_certificate(ctx: ssl.SSLContext, path: str) -> None:
    """A chain and its key; OSError, also for a key with a pass phrase, which nobody is asked for."""
    def refuse() -> str:
        raise OSError("its key has a pass phrase: name a file without")

    ctx.load_cert_chain(path, password=refuse)


def once(call: Callable[[], T]) -> T:
    """What a call of OpenSSL returns or raises, unless it was interrupted."""
    try:
        return call()
    except OSError as error:
        # A signal that arrives in the message callback is raised there; CPython makes it the context of
        # the call's own error, such as that more is to be read, behind which it would be lost.
        if isinstance(error.__context__, (KeyboardInterrupt, SystemExit)):
            raise error.__context__ from None
        raise


class Exchange:
    """The bytes between a socket and its TLS, until a deadline."""

    def __init__(self, plain: socket.socket, ctx: ssl.SSLContext, name: Optional[str],
                 deadline: float) -> None:
        self.plain, self.deadline = plain, deadline
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def until_done(self, call: Callable[[], T]) -> T:
        """Send and receive as the call needs; ssl.SSLError, OSError."""
        while True:
            try:
                return once(call)
            except ssl.SSLWantReadError:
                self.send()
                self.receive()
            finally:
                self.send()

    def send(self) -> None:
        if self.outgoing.pending:
            self.plain.settimeout(self.left())
            self.plain.sendall(self.outgoing.read())

    def receive(self) -> None:
        self.plain.settimeout(self.left())
        data = self.plain.recv(1 << 16)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def left(self) -> float:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds


def visit(target: Target, name: Optional[str], client: Client,
          session: Optional[Session] = None) -> Seen:
    """Connect, shake hands, see what comes, and leave; OSError where no connection can be had."""
    deadline = time.monotonic() + client.timeout
    messages = Messages()
    with socket.create_connection((target.address, target.port), timeout=client.timeout) as plain:
        exchange = Exchange(plain, context(client, messages), name, deadline)
        if session is not None:
            session.resume_on(exchange.tls, any_host=True)
        admitted, refusal, distrust = False, "", ""
        try:
            exchange.until_done(exchange.tls.do_handshake)
            if client.request and exchange.tls.version() == "TLSv1.3":
                page = f"HEAD / HTTP/1.1\r\nHost: {name or target}\r\nConnection: close\r\n\r\n"
                exchange.until_done(lambda: exchange.tls.write(page.encode()))
            refusal = settle(exchange, messages)
            admitted = not refusal
            if not exchange.tls.session_reused and messages.certificate is None:  # it came compressed
                messages.certificate = exchange.tls.getpeercert(True)
        except ssl.SSLCertVerificationError as error:
            distrust = error.verify_message
        except OSError as error:
            refusal = messages.alert or reason(error)
        return Seen(messages.heard, admitted, refusal, admitted and exchange.tls.session_reused or False,
                    messages.certificate, messages.asked, messages.tickets,
                    left_with(exchange) if admitted else None, distrust)


def settle(exchange: Exchange, messages: Messages) -> str:
    """See what comes of TLS 1.3 after the handshake: tickets, or a refusal, which is returned."""
    if exchange.tls.version() != "TLSv1.3":
        return ""
    exchange.deadline = min(exchange.deadline, time.monotonic() + SETTLE)
    try:
        while True:
            with suppress(ssl.SSLWantReadError):
                once(lambda: exchange.tls.read(1))
                return ""  # it has begun to talk, or has said that it has nothing to say
            if messages.tickets:
                return ""
            exchange.receive()
    except TIMEOUTS:
        return ""
    except OSError as error:
        return messages.alert or ("" if messages.tickets else reason(error))


def reason(error: OSError) -> str:
    if isinstance(error, TIMEOUTS):
        return "no answer in time"
    if isinstance(error, (ssl.SSLEOFError, ConnectionError)):
        return "the connection was closed"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error)


def left_with(exchange: Exchange) -> Optional[Session]:
    """Say goodbye, without which servers forget a session; the session, if it can be resumed."""
    session = Session.of(exchange.tls)
    exchange.deadline = time.monotonic() + SETTLE
    with suppress(OSError):
        with suppress(ssl.SSLWantReadError):
            once(exchange.tls.unwrap)
        exchange.send()
    return session if session.resumable else None
