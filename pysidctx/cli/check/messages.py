"""Parse the handshake messages that OpenSSL's message callback receives."""

import ssl
from typing import NamedTuple, Optional

# Constants of RFC 8446, section 4 and appendix B. TLS 1.2 has the same values.
HANDSHAKE, ALERT = 22, 21
SERVER_HELLO, NEW_SESSION_TICKET, CERTIFICATE, CERTIFICATE_REQUEST = 2, 4, 11, 13
FATAL = 2
SUPPORTED_VERSIONS, RENEGOTIATION_INFO = 43, 0xff01
PREFIX = "ALERT_DESCRIPTION_"
ALERTS = {
    # Alerts that ssl does not name.
    86: "inappropriate_fallback", 109: "missing_extension", 116: "certificate_required",
    120: "no_application_protocol", 121: "ech_required",
    **{int(each): each.name[len(PREFIX):].lower() for each in ssl.AlertDescription},
}


class Ticket(NamedTuple):
    """A ticket as it came over the wire."""

    lifetime: int  # seconds; in TLS 1.2 it is a hint, and 0 means unspecified
    data: bytes


class Messages:
    """The server's messages in a handshake, and in the handshake messages that follow it."""

    def __init__(self) -> None:
        self.heard = self.asked = False
        self.certificate: Optional[bytes] = None
        self.tickets: list[Ticket] = []
        self.alert = ""                   # the fatal alert that the server has sent
        self.broken_off = False           # whether the client has sent a fatal alert
        self.secure_renegotiation = True  # RFC 5746; False if a ServerHello of TLS 1.2 lacks the extension

    def __call__(self, connection: object, direction: str, version: int, content: int,
                 message: int, data: bytes) -> None:
        """The message callback: see SSL_CTX_set_msg_callback(3)."""
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
    """Return the contents of a vector with a length field of `size` bytes, and the data after it."""
    end = size + int.from_bytes(data[:size], "big")
    return data[size:end], data[end:]


def extensions(message: bytes) -> set[int]:
    """Return the extension types in a ServerHello: RFC 8446, section 4.1.3; RFC 5246, section 7.4.1.3."""
    _, body = part(message[4 + 2 + 32:], 1)  # after version and random: the session id
    left, _ = part(body[3:], 2)              # after the cipher suite and the compression
    found = set()
    while left:
        found.add(int.from_bytes(left[:2], "big"))
        _, left = part(left[2:], 2)
    return found


def first_certificate(message: bytes, tls13: bool) -> Optional[bytes]:
    """Return the first certificate in a Certificate message: RFC 8446, section 4.4.2; RFC 5246, section 7.4.2."""
    body = message[4:]
    if tls13:
        _, body = part(body, 1)  # the context of a request
    entries, _ = part(body, 3)
    first, _ = part(entries, 3)
    return first or None


def ticket_in(message: bytes, tls13: bool) -> Ticket:
    """Return the ticket in a NewSessionTicket message: RFC 8446, section 4.6.1; RFC 5077, section 3.3."""
    body = message[4:]
    lifetime, body = int.from_bytes(body[:4], "big"), body[4:]
    if tls13:
        _, body = part(body[4:], 1)  # skip ticket_age_add and the nonce
    return Ticket(lifetime, part(body, 2)[0])
