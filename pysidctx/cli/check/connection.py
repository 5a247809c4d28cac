"""Make one TLS connection as a client, and record what it reveals about the server."""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Optional, TypeVar

from pysidctx import Session
from pysidctx.cli.check.client import Client, context
from pysidctx.cli.check.messages import Messages, Ticket
from pysidctx.cli.check.starttls import PROTOCOLS, PlainText
from pysidctx.exceptions import SessionError

T = TypeVar("T")

# Seconds that a server of TLS 1.3 has after the handshake for its tickets, or for an alert; and how many bytes of
# its data may come before them.
SETTLE = 1.0
LEAST_SETTLE = 0.1  # where none are waited for, and a refusal does not take longer than a handshake
MOST_DATA = 1 << 20

# What a client of HTTP/2 begins with, and servers may wait for: RFC 9113, section 3.4. The settings are empty.
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"

TIMEOUTS = TimeoutError, socket.timeout  # one and the same from Python 3.10 on

# What is seen where a server does not have a version: its alert, or OpenSSL's words for another one.
NOT_OFFERED = "alert protocol_version", "unsupported protocol", "wrong version number"


class Target(NamedTuple):
    """Where to connect. `address` is an IP address of `host`, or of another machine of the same server."""

    host: str
    port: int
    address: str

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Seen(NamedTuple):
    """The observations of one connection."""

    heard: bool                   # whether the server has sent any TLS message
    admitted: bool                # whether the handshake was completed without a refusal after it
    refusal: str                  # why it was not
    resumed: bool
    certificate: Optional[bytes]  # the server's own, in DER; None in a resumed handshake
    asked: bool                   # it asked for a client's certificate
    tickets: list[Ticket]
    session: Optional[Session]    # if it can be resumed
    distrust: str                 # why the server's certificate was not accepted, where it is verified
    ended: str = ""               # what ended it before all tickets could have come
    ours: bool = False            # it was the client that refused
    secure_renegotiation: bool = True  # RFC 5746; TLS 1.3 does without
    first: bytes = b""            # what it said first, if that was no TLS
    version: Optional[str] = None  # of TLS, as ssl names it, if the handshake came so far


def once(call: Callable[[], T]) -> T:
    """Call OpenSSL, and return or raise its result unless a signal has interrupted it."""
    try:
        return call()
    except OSError as error:
        # A signal that arrives in the message callback is raised there; CPython makes it the context of
        # the call's own error, such as that more is to be read, behind which it would be lost.
        if isinstance(error.__context__, (KeyboardInterrupt, SystemExit)):
            raise error.__context__ from None
        raise


class Exchange:
    """Transfers bytes between a socket and its TLS object, with a deadline."""

    def __init__(self, plain: socket.socket, ctx: ssl.SSLContext, name: Optional[str],
                 deadline: float) -> None:
        self.plain, self.deadline, self.first = plain, deadline, b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def until_done(self, call: Callable[[], T]) -> T:
        """Send and receive as the call needs. Raises ssl.SSLError and OSError."""
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
        self.first = self.first or data
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
    """Connect, shake hands, read what the server sends, and close. Raises OSError if there is no connection.

    It is starttls.Refused if the server does not switch to TLS.
    """
    deadline = time.monotonic() + client.timeout
    messages = Messages()
    with socket.create_connection((target.address, target.port), timeout=client.timeout) as plain:
        if client.starttls:
            PROTOCOLS[client.starttls](PlainText(plain, deadline), name or target.host)
        exchange = Exchange(plain, context(client, messages), name, deadline)
        if session is not None:
            session.resume_on(exchange.tls, any_host=True)
        admitted, refusal, ended, distrust, ours = False, "", "", "", False
        try:
            begun = time.monotonic()
            exchange.until_done(exchange.tls.do_handshake)
            took = time.monotonic() - begun
            if exchange.tls.version() == "TLSv1.3":
                begin(exchange, name or str(target), client)
                brief = client.brief and exchange.tls.session_reused
                refusal, ended = read_on(exchange, messages, min(SETTLE, LEAST_SETTLE + took) if brief else SETTLE)
            admitted = not refusal
            if not exchange.tls.session_reused and messages.certificate is None:  # it came compressed
                messages.certificate = exchange.tls.getpeercert(True)
        except ssl.SSLCertVerificationError as error:
            distrust = error.verify_message
        except OSError as error:
            refusal = messages.alert or reason(error)
            ours = messages.broken_off and refusal not in (messages.alert, CLOSED_EARLY, *NOT_OFFERED)
            if ours:
                refusal = f"this client breaks off ({refusal})"
        return Seen(messages.heard, admitted, refusal, admitted and exchange.tls.session_reused or False,
                    messages.certificate, messages.asked, messages.tickets,
                    left_with(exchange, client) if admitted else None, distrust, ended, ours,
                    messages.secure_renegotiation, b"" if messages.heard else exchange.first,
                    exchange.tls.version())


def begin(exchange: Exchange, host: str, client: Client) -> None:
    """Send the data that the server may expect before it issues tickets."""
    said = b""
    if client.request:
        said = f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    elif exchange.tls.selected_alpn_protocol() == "h2":
        said = HTTP2_PREFACE
    if said:
        # A server that has refused meanwhile, and closed, is heard all the same: what it said is read next.
        with suppress(BrokenPipeError, ConnectionResetError):
            exchange.until_done(lambda: exchange.tls.write(said))


def read_on(exchange: Exchange, messages: Messages, seconds: float) -> tuple[str, str]:
    """Read what a TLS 1.3 server sends after the handshake: tickets, data or a refusal.

    Returns the refusal, and what ended this before tickets had all their time to come. A connection that is closed
    without an alert is refused only where the server has asked for a certificate, which it judges after the
    client's handshake is done (RFC 8446, section 4.4.2.4); a resumed handshake has none.
    """
    end = time.monotonic() + seconds
    in_time, exchange.deadline = end <= exchange.deadline, min(exchange.deadline, end)
    data = 0
    try:
        while not messages.tickets:
            if data >= MOST_DATA:
                return "", f"{data} bytes of data had"
            try:
                more = once(lambda: exchange.tls.read(1 << 14))
            except ssl.SSLWantReadError:
                if not messages.tickets:
                    exchange.receive()
                continue
            if not more:
                return "", CLOSED
            data += len(more)
    except TIMEOUTS:
        return "", "" if in_time or messages.tickets else "the time for a connection was over"
    except OSError as error:
        why = messages.alert or reason(error)
        in_doubt = not (data or messages.tickets) and (messages.asked or why != CLOSED_EARLY)
        return (why, "") if messages.alert or in_doubt else ("", CLOSED)
    return "", ""


CLOSED, CLOSED_EARLY = "the server closed the connection", "the connection was closed"


def reason(error: OSError) -> str:
    if isinstance(error, TIMEOUTS):
        return "no answer in time"
    if isinstance(error, (ssl.SSLEOFError, ConnectionError)):
        return CLOSED_EARLY
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error)


def left_with(exchange: Exchange, client: Client) -> Optional[Session]:
    """Send a close_notify, without which servers drop a session. Returns the session if it can be resumed.

    OpenSSL stores a session of TLS 1.2 after it has sent its last message of the handshake. A client that returned at
    once might come too early on a busy server, so this one waits until the server closes, too.
    """
    try:
        session = Session.of(exchange.tls)
    except SessionError:  # it broke off after the handshake
        return None
    exchange.deadline = time.monotonic() + SETTLE
    with suppress(OSError):
        with suppress(ssl.SSLWantReadError):
            once(exchange.tls.unwrap)
        exchange.send()
        if not client.tickets and not exchange.tls.session_reused:
            exchange.deadline = time.monotonic() + LEAST_SETTLE
            exchange.receive()
    return session if session.resumable else None
