"""Switch a plain-text connection to TLS, and recognize servers that begin in plain text."""

import re
import socket
import time
from collections.abc import Callable

MOST_TEXT = 1 << 16  # how many bytes a server may send before TLS
NAMESPACES = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
OID_STARTTLS, OID_DISCONNECTION = b"1.3.6.1.4.1.1466.20037", b"1.3.6.1.4.1.1466.20036"  # RFC 4511, section 4


class Refused(OSError):
    """The server does not switch to TLS. The message tells what it did instead."""


class PlainText:
    """The plain-text dialogue before TLS, with a deadline. It never reads a byte that belongs to TLS."""

    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self.plain, self.deadline, self.heard = plain, deadline, 0

    def say(self, text: bytes) -> None:
        self.plain.settimeout(self.left())
        self.plain.sendall(text)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self.plain.settimeout(self.left())
            try:
                more = self.plain.recv(size - len(data))
            except (TimeoutError, socket.timeout):
                more = None
            if more is None:
                raise Refused("the server sent no more data in time" if self.heard else "the server sent nothing in "
                              "time. If it speaks TLS from the beginning, omit --starttls")
            if not more:
                raise Refused("the server closed the connection")
            data += more
            self.heard += len(more)
            if self.heard > MOST_TEXT:
                raise Refused(f"the server sent more than {MOST_TEXT} bytes")
        return data

    def left(self) -> float:
        return max(self.deadline - time.monotonic(), 0.001)

    def until(self, *ends: bytes) -> bytes:
        """Read up to the first of these texts."""
        text = b""
        while not text.endswith(ends):
            text += self.read(1)
        return text

    def line(self, *starts: bytes) -> bytes:
        """Read a line that starts with this text. Raises Refused if it does not."""
        return self.expected(self.until(b"\n"), *starts)

    def expected(self, text: bytes, *starts: bytes) -> bytes:
        if not text.startswith(starts):
            raise Refused(f"the server sent {shown(text)}")
        return text

    def reply(self, code: bytes) -> None:
        """Read a reply of SMTP or FTP, of one line or more: RFC 5321, section 4.2.1; RFC 959, section 4.2."""
        line = self.line(code)
        if line[3:4] == b"-":
            while not line.startswith(code + b" "):
                line = self.until(b"\n")


def shown(text: bytes) -> str:
    return repr(text[:100].decode("ascii", "replace").strip())


def smtp(text: PlainText, host: str) -> None:
    """RFC 3207."""
    text.reply(b"220")
    text.say(b"EHLO pysidctx.invalid\r\n")
    text.reply(b"250")
    text.say(b"STARTTLS\r\n")
    text.reply(b"220")


def ftp(text: PlainText, host: str) -> None:
    """RFC 4217."""
    text.reply(b"220")
    text.say(b"AUTH TLS\r\n")
    text.reply(b"234")


def imap(text: PlainText, host: str) -> None:
    """RFC 9051, section 6.2.1."""
    text.line(b"* OK")
    text.say(b"1 STARTTLS\r\n")
    line = b"* "
    while line.startswith(b"* "):
        line = text.until(b"\n")
    text.expected(line, b"1 OK")


def pop3(text: PlainText, host: str) -> None:
    """RFC 2595, section 4."""
    text.line(b"+OK")
    text.say(b"STLS\r\n")
    text.line(b"+OK")


def postgres(text: PlainText, host: str) -> None:
    """The SSLRequest of PostgreSQL's protocol, version 3."""
    text.say(b"\0\0\0\x08\x04\xd2\x16\x2f")
    text.expected(text.read(1), b"S")


def ldap(text: PlainText, host: str) -> None:
    """RFC 4511, section 4.14."""
    asked = b"\x80" + bytes([len(OID_STARTTLS)]) + OID_STARTTLS
    message = b"\2\1\1" + b"\x77" + bytes([len(asked)]) + asked
    text.say(b"\x30" + bytes([len(message)]) + message)
    answer = text.expected(element(text), b"\2\1\1\x78")[4:]
    result = answer[1 + answer[0] - 0x80:] if answer[0] & 0x80 else answer
    text.expected(result[1:], b"\x0a\1\0")  # success


def element(text: PlainText) -> bytes:
    """Return the contents of a SEQUENCE in BER: X.690, section 8.1."""
    text.expected(text.read(1), b"\x30")
    size = text.read(1)[0]
    if size & 0x80:
        size = int.from_bytes(text.read(size & 0x7f), "big")
    if size > MOST_TEXT:
        raise Refused(f"the server sent more than {MOST_TEXT} bytes")
    return text.read(size)


def xmpp(text: PlainText, host: str) -> None:
    """RFC 6120, section 5."""
    text.say(f"<?xml version='1.0'?><stream:stream to='{host}' version='1.0' {NAMESPACES}>".encode())
    features = text.until(b"</stream:features>", b"</stream:stream>", b"<stream:features/>")
    if b"xmpp-tls" not in features:
        raise Refused("the server does not offer STARTTLS")
    text.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    text.expected(text.until(b">"), b"<proceed")


PROTOCOLS: dict[str, Callable[[PlainText, str], None]] = {
    "smtp": smtp, "imap": imap, "pop3": pop3, "ftp": ftp, "ldap": ldap, "postgres": postgres, "xmpp": xmpp}

# The first bytes of servers, or their response to a ClientHello.
GREETINGS = {
    "smtp": rb"220[ -](?i:(?!.*ftp))|421[ -](?i:(?!.*ftp))", "ftp": rb"220[ -](?i:(?!.*smtp))|421[ -](?i:(?!.*smtp))",
    "imap": rb"\* (OK|PREAUTH|BYE)", "pop3": rb"\+OK|-ERR", "xmpp": rb"<\?xml|<stream:",
    "ldap": rb"\x30.*" + re.escape(OID_DISCONNECTION), "postgres": rb"E(FATAL|.{4}SFATAL)",
}


def wanted_by(greeting: bytes) -> list[str]:
    """Return the protocols that a server seems to speak."""
    return [protocol for protocol, pattern in GREETINGS.items() if re.match(pattern, greeting, re.DOTALL)]
