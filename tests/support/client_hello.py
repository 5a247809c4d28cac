"""Parse and rebuild ClientHellos, with a handmade server_name extension."""

from typing import NamedTuple, Optional

SERVER_NAME = 0
RECORD_MAX = 1 << 14


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def server_name(name: bytes, *, kind: int = 0, name_length: Optional[int] = None, list_length: Optional[int] = None,
                rest: bytes = b"") -> bytes:
    """Return the data of the extension: RFC 6066, section 3. Its length fields may be wrong on purpose."""
    entry = number(kind, 1) + number(len(name) if name_length is None else name_length, 2) + name
    entries = entry + rest
    return number(len(entries) if list_length is None else list_length, 2) + entries


class ClientHello(NamedTuple):
    """RFC 8446, section 4.1.2."""

    head: bytes  # up to the compression methods
    extensions: tuple[tuple[int, bytes], ...]

    @classmethod
    def parse(cls, records: bytes) -> "ClientHello":
        message = b""
        while records:
            size = int.from_bytes(records[3:5], "big")
            message += records[5:5 + size]
            records = records[5 + size:]
        body = message[4:]
        at = 34
        for size in (1, 2, 1):  # session id, cipher suites, compression methods
            at += size + int.from_bytes(body[at:at + size], "big")
        head, block = body[:at], body[at + 2:]
        found = []
        while block:
            kind, size = (int.from_bytes(block[i:i + 2], "big") for i in (0, 2))
            found.append((kind, block[4:4 + size]))
            block = block[4 + size:]
        return cls(head, tuple(found))

    def server_name(self) -> Optional[str]:
        """The host name; None where there is none."""
        for kind, data in self.extensions:
            if kind == SERVER_NAME:
                return data[5:].decode()
        return None

    def with_server_names(self, *data: bytes) -> "ClientHello":
        """Replace the server_name extension by these extensions."""
        changed: list[tuple[int, bytes]] = []
        for kind, old in self.extensions:
            if kind == SERVER_NAME:
                changed += [(SERVER_NAME, new) for new in data]
            else:
                changed.append((kind, old))
        return self._replace(extensions=tuple(changed))

    def room(self) -> int:
        """The bytes that a server_name extension may have beside the others."""
        return 0xffff - sum(4 + len(data) for kind, data in self.extensions if kind != SERVER_NAME) - 4

    def records(self) -> bytes:
        block = b"".join(number(kind, 2) + number(len(data), 2) + data
                         for kind, data in self.extensions)
        body = self.head + number(len(block), 2) + block
        message = b"\x01" + number(len(body), 3) + body
        parts = [message[at:at + RECORD_MAX] for at in range(0, len(message), RECORD_MAX)]
        return b"".join(b"\x16\x03\x01" + number(len(part), 2) + part for part in parts)
