"""The file in which client sessions are saved: for each, a line of JSON that says whose it is, and a PEM block."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from typing import NamedTuple

from pysidctx import private_files
from pysidctx._typing import Path
from pysidctx.exceptions import SessionError

CONTENT = private_files.Content("client sessions", SessionError, 1 << 28, "; save() writes one")

BEGIN = b"-----BEGIN "
END = b"-----END "
HOST_LENGTH = 255
TRUST_LENGTH = 32
ID_CONTEXT_LENGTH = 32
# The fields of the terms that are numbers, with their bits, and whether they have a sign.
NUMBERS = {"flags": (64, False), "verify_mode": (32, True), "depth": (32, True), "auth_level": (32, True),
           "security_level": (32, True), "host_flags": (32, False), "checks_name": (32, False)}


class Label(NamedTuple):
    """Whose a session is: its host, and the terms of the contexts that may offer it."""

    host: str
    is_address: bool
    port: int
    until: int           # a Unix time
    trust: bytes
    id_context: bytes
    terms: dict[str, int]

    def line(self) -> bytes:
        told = {"host": self.host, "address": self.is_address, "port": self.port, "until": self.until,
                "context": self.trust.hex(), "id_context": self.id_context.hex(), "terms": self.terms}
        return json.dumps(told).encode() + b"\n"


def label_of(line: bytes) -> Label:
    """Read what line() has written. Raises SessionError."""
    try:
        told = json.loads(line)
        label = Label(told["host"], told["address"], told["port"], told["until"], bytes.fromhex(told["context"]),
                      bytes.fromhex(told["id_context"]), told["terms"])
        if not is_valid(label):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SessionError("a session in this file has no line before it that says whose it is, or not as save() "
                           "writes it: remove the file, and save() again") from None
    return label


def is_valid(label: Label) -> bool:
    return (isinstance(label.host, str) and label.host.isascii() and "\0" not in label.host
            and label.host == label.host.lower() and 0 < len(label.host) <= HOST_LENGTH
            and isinstance(label.is_address, bool)
            and is_number(label.port, 16, False) and is_number(label.until, 64, False)
            and len(label.trust) == TRUST_LENGTH and len(label.id_context) <= ID_CONTEXT_LENGTH
            and isinstance(label.terms, dict) and label.terms.keys() == NUMBERS.keys()
            and all(is_number(label.terms[name], *kind) for name, kind in NUMBERS.items()))


def is_number(value: object, bits: int, signed: bool) -> bool:
    least = -(1 << bits - 1) if signed else 0
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < least + (1 << bits)


def parts(data: bytearray) -> Iterator[tuple[Label, int, int]]:
    """Yield the label of each session, and where it begins and ends with its label. Raises SessionError."""
    begin = 0
    while data[begin:begin + 64].strip():
        block = data.find(BEGIN, begin)
        end = data.find(END, block)
        if block < 0 or end < 0:
            raise SessionError("the last session in this file is not complete: remove the file, and save() again")
        end = data.find(b"\n", end) + 1 or len(data)
        yield label_of(bytes(data[begin:block])), begin, end
        begin = end


class Claim:
    """A file that was taken out of reach of other processes, under another name in its folder."""

    def __init__(self, path: Path) -> None:
        self.path = os.path.realpath(os.fsdecode(path))
        self.taken = beside(self.path)
        self.used = False  # whether what it contains may have been used

    def put_back(self, data: memoryview) -> None:
        """Write what is left of the file, unless another process has saved meanwhile. Raises OSError."""
        made = beside(self.path)
        private_files.create(made, data)
        try:
            self.link(made)
        finally:
            os.unlink(made)

    def link(self, name: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.link(name, self.path)


def beside(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".pysidctx.{secrets.token_hex(8)}")


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[Claim]:
    """Claim a file, and remove it in the end. If an exception comes before it was used, it gets its name back.

    Of several processes, one succeeds. The others get FileNotFoundError.
    """
    claim = Claim(path)
    os.rename(claim.path, claim.taken)
    try:
        yield claim
    except BaseException:
        if not claim.used:
            claim.link(claim.taken)
        raise
    finally:
        os.unlink(claim.taken)
