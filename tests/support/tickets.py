"""Decrypt tickets with another library, and put tickets into clients' sessions."""

import ssl
import time
from collections.abc import Callable, Iterator
from typing import Optional

import libssl
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from handshakes import Pair, close, pair, shake

from pysidctx import Session

TICKET = 0xAA  # the field of ssl_asn1.c that holds a client's ticket


def key_of_period(secret: bytes, number: int) -> bytes:
    """The 80 bytes that TicketKeys.from_secret() says it derives."""
    return HKDF(hashes.SHA256(), 80, b"pysidctx ticket keys 1", number.to_bytes(8, "big")).derive(secret)


def opened(ticket: bytes, name: bytes, hmac_key: bytes, aes_key: bytes) -> bytes:
    """The session in a ticket, in DER."""
    sealed, tag = ticket[:-32], ticket[-32:]
    assert sealed[:16] == name
    check = hmac.HMAC(hmac_key, hashes.SHA256())
    check.update(sealed)
    check.verify(tag)
    cipher = Cipher(algorithms.AES(aes_key), modes.CBC(sealed[16:32])).decryptor()
    padded = cipher.update(sealed[32:]) + cipher.finalize()
    assert set(padded[-padded[-1]:]) == {padded[-1]}
    return padded[:-padded[-1]]


def sealed(der: bytes, name: bytes, hmac_key: bytes, aes_key: bytes, iv: bytes = bytes(16)) -> bytes:
    """Encrypt a session into a ticket."""
    filling = 16 - len(der) % 16
    cipher = Cipher(algorithms.AES(aes_key), modes.CBC(iv)).encryptor()
    text = name + iv + cipher.update(der + bytes([filling]) * filling) + cipher.finalize()
    tag = hmac.HMAC(hmac_key, hashes.SHA256())
    tag.update(text)
    return text + tag.finalize()


def encoded(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 128 | size]) + length.to_bytes(size, "big") + content


def fields(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and content of each field, as long as no tag takes more than a byte."""
    while der:
        tag, length, der = der[0], der[1], der[2:]
        if length & 128:
            size = length & 127
            length, der = int.from_bytes(der[:size], "big"), der[size:]
        yield tag, der[:length]
        der = der[length:]


def with_ticket(session: Session, ticket: bytes) -> Session:
    """A copy of a client's Session with another ticket."""
    ((_, content),) = fields(session.to_der())
    changed = b"".join(
        encoded(tag, encoded(0x04, ticket) if tag == TICKET else value) for tag, value in fields(content))
    return Session.from_der(encoded(0x30, changed), id_context=session.id_context, host="a.test")


def visit(server_ctx: ssl.SSLContext, client_ctx: ssl.SSLContext, session: Optional[Session] = None,
          before: Optional[Callable[[Pair], object]] = None) -> tuple[bool, Session]:
    """A connection that offers a Session; whether it was resumed, and the Session of its client."""
    ends = pair(server_ctx, client_ctx)
    if session is not None:
        session.resume_on(ends.client)
    if before is not None:
        before(ends)
    shake(ends)
    made = Session.of(ends.client)
    resumed = ends.server.session_reused
    assert ends.client.session_reused == resumed
    assert libssl.ERR_peek_error() == 0
    close(ends)
    return resumed, made


def sleep_into_period(period: float, part: float = 0.1) -> None:
    """Wait until this part of the next period has passed."""
    now = time.time()
    time.sleep((now // period + 1 + part) * period - now)


def sleep_into_next_second() -> None:
    """Sessions that are made in the second in which something is forgotten are forgotten, too."""
    begun = libssl.now()
    while libssl.now() == begun:
        time.sleep(0.01)
