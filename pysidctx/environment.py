"""The environment variables whose names begin with PYSIDCTX_: what each contains, and which code reads it."""

import os
import warnings
from collections.abc import Sequence
from typing import NamedTuple, Optional

from pysidctx import arguments

PREFIX = "PYSIDCTX_"

SECRET_FILE = "PYSIDCTX_SECRET_FILE"
CACHE = "PYSIDCTX_CACHE"
CACHE_SIZE = "PYSIDCTX_CACHE_SIZE"
CACHE_WHEN = "PYSIDCTX_CACHE_WHEN"
STATS = "PYSIDCTX_STATS"
ID_CONTEXT = "PYSIDCTX_ID_CONTEXT"
LIFETIME = "PYSIDCTX_LIFETIME"
PERIOD = "PYSIDCTX_PERIOD"

SECRET_READERS = "TicketKeys.from_secret_file(), SessionCache.from_secret_file() and pysidctx.servers"
MOST_OF_ID_CONTEXT = 32  # bytes: SSL_MAX_SID_CTX_LENGTH


class Variable(NamedTuple):
    """A variable that pysidctx knows."""

    kind: str    # what it contains: "file", "folder", "integer", "text" or "word"
    reader: str  # the code that reads it, and the purpose
    way_out: str = "set it"  # what to do if it is not set


VARIABLES = {
    SECRET_FILE: Variable(
        "file", f"{SECRET_READERS}, for a secret",
        "write a secret with `python -m pysidctx secret PATH` and `export PYSIDCTX_SECRET_FILE=PATH`"),
    CACHE: Variable("file", "pysidctx.servers, for the memory of a SessionCache",
                    "set it to a path such as /dev/shm/NAME"),
    CACHE_SIZE: Variable("integer", "pysidctx.servers, for the size of that memory in bytes",
                         "set it to a number of bytes, such as 67108864"),
    CACHE_WHEN: Variable("word", "pysidctx.servers, for which sessions are stored in that memory",
                         "set it to always, or to client-certificates, which is the default"),
    STATS: Variable("file", "pysidctx.servers, for the memory in which all workers of a server count",
                    "set it to a path such as /dev/shm/NAME"),
    ID_CONTEXT: Variable("text", "pysidctx.servers, for the name of the application in its id contexts",
                         f"set it to a name of at most {MOST_OF_ID_CONTEXT} bytes"),
    LIFETIME: Variable("integer", f"{SECRET_READERS}, for how long sessions can be resumed",
                       f"set it to a number of seconds, 1 to {arguments.MAX_LIFETIME}"),
    PERIOD: Variable("integer", f"{SECRET_READERS}, for how long each key is used",
                     f"set it to a number of seconds, 1 to {arguments.MAX_LIFETIME}"),
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


def seconds(name: str) -> Optional[int]:
    """Return the value of a known variable, or None if it is not set. Raises ValueError if it is out of range."""
    found = integer(name)
    if found is not None and not 1 <= found <= arguments.MAX_LIFETIME:
        raise ValueError(f"the environment variable {name} is {found}, which is out of range: "
                         f"{VARIABLES[name].way_out}, or remove it")
    return found


def times(period: Optional[int] = None, lifetime: Optional[int] = None) -> tuple[int, int]:
    """Return the period and the lifetime of keys, in seconds: what is passed, or else the variables or the defaults.

    Raises TypeError, ValueError.
    """
    named = []
    if period is None:
        period = seconds(PERIOD)
        named += [] if period is None else [f"the environment variable {PERIOD} is {period}"]
    if lifetime is None:
        lifetime = seconds(LIFETIME)
        named += [] if lifetime is None else [f"the environment variable {LIFETIME} is {lifetime}"]
    try:
        return arguments.checked_times(arguments.PERIOD if period is None else period,
                                       arguments.LIFETIME if lifetime is None else lifetime)
    except ValueError as error:
        raise ValueError("; ".join([str(error), *named])) from None


def id_context() -> Optional[bytes]:
    """Return the bytes of the variable, 1 to 32, or None if it is not set. Raises ValueError."""
    found = value(ID_CONTEXT)
    if found is None:
        return None
    octets = os.fsencode(found)
    if len(octets) > MOST_OF_ID_CONTEXT:
        raise ValueError(f"the environment variable {ID_CONTEXT} is {len(octets)} bytes long: "
                         f"{VARIABLES[ID_CONTEXT].way_out}, or remove it")
    return octets


def word(name: str, words: Sequence[str]) -> Optional[str]:
    """Return the value of a known variable, or None if it is not set. Raises ValueError if it is none of the words."""
    found = value(name)
    if found is not None and found not in words:
        raise ValueError(f"the environment variable {name} is {found!r}: {VARIABLES[name].way_out}, or remove it")
    return found


def warn_of_unused(id_contexts: tuple[Optional[bytes], Optional[bytes]], keys: tuple[int, Optional[int]],
                   cache: Optional[tuple[int, int]]) -> None:
    """Emit a RuntimeWarning for the variables that a context disregards, because the program says otherwise.

    `id_contexts`: the id_context and the exact_id_context that were passed. `keys`, `cache`: the lifetime and the
    period of each, in seconds; keys from files have no period.
    """
    unused = [*unused_times("the keys, which have", *keys),
              *([] if cache is None else unused_times("the cache, which has", *cache)),
              *unused_id_context(*id_contexts)]
    if unused:
        warnings.warn(f"pysidctx: {'; '.join(unused)}. pysidctx.servers.ssl_context_factory reads these variables; in "
                      "a program of your own, pass the arguments that they stand for, or remove them",
                      RuntimeWarning, stacklevel=2)


def unused_times(of_what: str, lifetime: int, period: Optional[int]) -> list[str]:
    unused = []
    for name, argument, in_force in (LIFETIME, "lifetime", lifetime), (PERIOD, "period", period):
        if name in os.environ and not is_number(os.environ[name], in_force):
            having = ("the keys, which come from files and have no period" if in_force is None
                      else f"{of_what} a {argument} of {in_force} seconds")
            unused.append(f"{name}={os.environ[name]} has no effect on {having}")
    return unused


def unused_id_context(id_context: Optional[bytes], exact_id_context: Optional[bytes]) -> list[str]:
    if ID_CONTEXT not in os.environ or os.fsencode(os.environ[ID_CONTEXT]) in (id_context, exact_id_context):
        return []
    if exact_id_context is not None:
        return [f"{ID_CONTEXT} has no effect: an exact_id_context was passed"]
    return [f"{ID_CONTEXT} has no effect: {'no' if id_context is None else 'another'} id_context was passed"]


def is_number(text: str, number: Optional[int]) -> bool:
    try:
        return int(text) == number
    except ValueError:
        return False


def warn_of_unknown() -> None:
    """Emit a RuntimeWarning for each variable that has the prefix but is not known."""
    for name in os.environ:
        if is_unknown(name):
            known = nearest(name)
            read = "" if known is None else f" ({VARIABLES[known].kind}; read by {VARIABLES[known].reader})"
            warnings.warn(f"unknown environment variable {name}: {suggested(known)}{read}", RuntimeWarning,
                          stacklevel=3)


def is_unknown(name: str) -> bool:
    return name.upper().startswith(PREFIX) and name not in VARIABLES


def nearest(name: str) -> Optional[str]:
    """Return the known variable that an unknown one is most likely to stand for; None if it resembles none."""
    for known in VARIABLES:  # prefer a known name that begins with the unknown one
        if known.startswith(name.upper()):
            return known
    import difflib  # imported only here, because every import of pysidctx imports this module
    found = difflib.get_close_matches(name[len(PREFIX):].upper(), [known[len(PREFIX):] for known in VARIABLES], 1)
    return f"{PREFIX}{found[0]}" if found else None


def suggested(known: Optional[str]) -> str:
    """Return what to say of the variable that was found for an unknown one."""
    return f"did you mean {known}?" if known else f"pysidctx knows {', '.join(VARIABLES)}"
