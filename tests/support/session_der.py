"""The elements of a session in DER, by the numbers that OpenSSL's ssl/ssl_asn1.c gives them."""

from typing import Union

PLAIN = ("version", "ssl_version", "cipher", "session_id", "master_key")
PEER, ID_CONTEXT, VERIFY_RESULT, HOSTNAME, FLAGS, AGE_ADD, ALPN, APPDATA, KEX_GROUP = 3, 4, 5, 6, 13, 14, 16, 18, 19

Elements = dict[Union[int, str], bytes]


def contents(der: bytes) -> tuple[bytes, bytes, bytes]:
    """The tag and the contents of the first element, and what follows it."""
    length, at = der[1], 2
    if length >= 0x80:
        at += length & 0x7F
        length = int.from_bytes(der[2:at], "big")
    return der[:1], der[at:at + length], der[at + length:]


def element(tag: int, data: bytes) -> bytes:
    if len(data) < 0x80:
        return bytes([tag, len(data)]) + data
    size = (len(data).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(data).to_bytes(size, "big") + data


def split(der: bytes) -> Elements:
    """Each with its tag; tagged ones by their numbers, the others by their names."""
    tag, rest, after = contents(der)
    assert (tag, after) == (b"\x30", b"")
    found: Elements = {}
    for name in PLAIN:
        following = contents(rest)[2]
        found[name] = rest[:len(rest) - len(following)]
        rest = following
    while rest:
        following = contents(rest)[2]
        found[rest[0] & 0x1F] = rest[:len(rest) - len(following)]
        rest = following
    return found


def join(elements: Elements) -> bytes:
    plain = [elements[name] for name in PLAIN]
    return element(0x30, b"".join([*plain, *(elements[name] for name in sorted({*elements} - {*PLAIN}, key=int))]))


def tagged(number: int, data: bytes) -> bytes:
    return element(0xA0 | number, data)


def octets(number: int, data: bytes) -> bytes:
    return tagged(number, element(4, data))


def integer(number: int, value: int) -> bytes:
    return tagged(number, element(2, value.to_bytes(value.bit_length() // 8 + 1, "big")))
