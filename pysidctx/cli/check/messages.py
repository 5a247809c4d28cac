"""What passes in the handshake, as OpenSSL's message callback shows it."""

import ssl
from typing import NamedTuple, Optional

# Of RFC 8446, section 4 and appendix B; in TLS 1.2 they are the same.
HANDSHAKE, ALERT = 22, 21
SERVER_HELLO, NEW_SESSION_TICKET, CERTIFICATE, CERTIFICATE_REQUEST = 2, 4, 11, 13
FATAL = 2
SUPPORTED_VERSIONS, RENEGOTIATION_INFO = 43, 0xff01
PREFIX = "ALERT_DESCRIPTION_"
ALERTS = {
    # Which ssl does not name.
    86: "inappropriate_fallback", 109: "missing_extension", 116: "certificate_required",
    120: "no_application_protocol", 121: "ech_required",
    **{int(each): each.name[len(PREFIX):].lower() for each in ssl.AlertDescription},
}


class Ticket(NamedTuple):
    """A ticket as it came over the wire."""

    lifetime: int  # seconds; in TLS 1.2 a hint, and 0 says nothing
    data: bytes


class Messages:
    """What the server says in the handshake, and in what belongs to it."""

    def __init__(self) -> None:
        self.heard = self.asked = False
        self.certificate: Optional[bytes] = None
        self.tickets: list[Ticket] = []
        self.alert = ""                   # a fatal one, by which the server refuses
        self.broken_off = False           # by a fatal alert of the client
        self.secure_renegotiation = True  # RFC 5746; False where a ServerHello of TLS 1.2 is without

    def __call__(self, connection: object, direction: str, version: int, content: int,
                 message: int, data: bytes) -> None:
        """As the message callback of SSL_CTX_set_msg_callback(3)."""
        if content == ALERT and data[0] == FATAL:
            if direction == "read":
                self.alert = f"alert {ALERTS.get(data[1], data[1])}"
            else:
                self.broken_off = True
        if direction != "read" or content not in (HANDSHAKE, ALERT):
            return
        self.heard = True
        tls13 = version == ssl.TLSVersion.TLSv1_3
        if content == ALERT:
            return
        if message == SERVER_HELLO:
            found = extensions(data)
            self.secure_renegotiation = RENEGOTIATION_INFO in found or SUPPORTED_VERSIONS in found
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


def extensions(message: bytes) -> set[int]:
    """The types in a ServerHello: RFC 8446, section 4.1.3; RFC 5246, section 7.4.1.3."""
    _, body = part(message[4 + 2 + 32:], 1)  # after version and random: the session id
    left, _ = part(body[3:], 2)              # after the cipher suite and the compression
    found = set()
    while left:
        found.add(int.from_bytes(left[:2], "big"))
        _, left = part(left[2:], 2)
    return found


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
