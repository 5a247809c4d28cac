"""The environment variables whose names begin with PYSIDCTX_: what each contains, and which code reads it."""

import os
import warnings
from collections.abc import Sequence
from typing import NamedTuple, Optional

PREFIX = "PYSIDCTX_"

SECRET_FILE = "PYSIDCTX_SECRET_FILE"
CACHE = "PYSIDCTX_CACHE"
CACHE_SIZE = "PYSIDCTX_CACHE_SIZE"
CACHE_WHEN = "PYSIDCTX_CACHE_WHEN"
STATS = "PYSIDCTX_STATS"


class Variable(NamedTuple):
    """A variable that pysidctx knows."""

    kind: str    # what it contains: "file", "folder", "integer" or "word"
    reader: str  # the code that reads it, and the purpose
    way_out: str = "set it"  # what to do if it is not set


VARIABLES = {
    SECRET_FILE: Variable(
        "file", "TicketKeys.from_secret_file(), SessionCache.from_secret_file() and pysidctx.servers, for a secret",
        "write a secret with `python -m pysidctx secret PATH` and `export PYSIDCTX_SECRET_FILE=PATH`"),
    CACHE: Variable("file", "pysidctx.servers, for the memory of a SessionCache",
                    "set it to a path such as /dev/shm/NAME"),
    CACHE_SIZE: Variable("integer", "pysidctx.servers, for the size of that memory in bytes",
                         "set it to a number of bytes, such as 67108864"),
    CACHE_WHEN: Variable("word", "pysidctx.servers, for which sessions are stored in that memory",
                         "set it to always, or to client-certificates, which is the default"),
    STATS: Variable("file", "pysidctx.servers, for the memory in which all workers of a server count",
                    "set it to a path such as /dev/shm/NAME"),
    "PYSIDCTX_BINDING": Variable("word", "setup.py: linked with OpenSSL, or late, which is found at import"),
    "PYSIDCTX_OPENSSL_DIR": Variable("folder", "setup.py, for the OpenSSL to build with"),
    "PYSIDCTX_SEED": Variable("integer", "the tests, for their random numbers"),
}


def value(name: str) -> Optional[str]:
    """Return the value of a known variable, or None if it is not set. Raises ValueError if it is empty."""
    found = os.environ.get(name)
    if found == "":
        raise ValueError(f"the environment variable {name} is empty: {VARIABLES[name].way_out}, or remove it")
    return found


def needed(name: str) -> str:
    """Return the value of a known variable. Raises ValueError if it is empty or not set."""
    found = value(name)
    if found is None:
        raise ValueError(f"the environment variable {name} is not set: {VARIABLES[name].way_out}")
    return found


def integer(name: str) -> Optional[int]:
    """Return the value of a known variable as an int, or None if it is not set. Raises ValueError if it is none."""
    found = value(name)
    if found is None:
        return None
    try:
        return int(found)
    except ValueError:
        raise ValueError(f"the environment variable {name} is {found!r}, which is not a whole number: "
                         f"{VARIABLES[name].way_out}, or remove it") from None


def word(name: str, words: Sequence[str]) -> Optional[str]:
    """Return the value of a known variable, or None if it is not set. Raises ValueError if it is none of the words."""
    found = value(name)
    if found is not None and found not in words:
        raise ValueError(f"the environment variable {name} is {found!r}: {VARIABLES[name].way_out}, or remove it")
    return found


def warn_of_unknown() -> None:
    """Emit a RuntimeWarning for each variable that has the prefix but is not known."""
    for name in os.environ:
        if is_unknown(name):
            known = nearest(name)
            warnings.warn(f"unknown environment variable {name}: did you mean {known}? "
                          f"({VARIABLES[known].kind}; read by {VARIABLES[known].reader})",
                          RuntimeWarning, stacklevel=3)


def is_unknown(name: str) -> bool:
    return name.upper().startswith(PREFIX) and name not in VARIABLES


def nearest(name: str) -> str:
    for known in VARIABLES:  # prefer a known name that begins with the unknown one
        if known.startswith(name.upper()):
            return known
    import difflib  # imported only here, because every import of pysidctx imports this module
    found: list[str] = difflib.get_close_matches(name.upper(), VARIABLES, 1, 0)
    return found[0]
