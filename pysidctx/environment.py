"""The environment variables whose names begin with PYSIDCTX_: all of them, what is in each, and who reads it."""

import os
import warnings
from typing import NamedTuple, Optional

PREFIX = "PYSIDCTX_"

SECRET_FILE = "PYSIDCTX_SECRET_FILE"


class Variable(NamedTuple):
    """What is in one."""

    kind: str    # "file", "folder", "integer" or "word"
    reader: str  # who reads it, and what for
    way_out: str = "set it"


VARIABLES = {
    SECRET_FILE: Variable(
        "file", "TicketKeys.from_secret_file() and pysidctx.servers, for a secret",
        "write a secret with `python -m pysidctx secret PATH` and `export PYSIDCTX_SECRET_FILE=PATH`"),
    "PYSIDCTX_BINDING": Variable("word", "setup.py: linked with OpenSSL, or late, which is found at import"),
    "PYSIDCTX_OPENSSL_DIR": Variable("folder", "setup.py, for the OpenSSL to build with"),
    "PYSIDCTX_SEED": Variable("integer", "the tests, for their random numbers"),
}


def value(name: str) -> Optional[str]:
    """What a known variable says, None where it is not set; ValueError where it is set to nothing."""
    found = os.environ.get(name)
    if found == "":
        raise ValueError(f"the environment variable {name} is empty: {VARIABLES[name].way_out}, or remove it")
    return found


def needed(name: str) -> str:
    """The same; ValueError where it is not set, either."""
    found = value(name)
    if found is None:
        raise ValueError(f"the environment variable {name} is not set: {VARIABLES[name].way_out}")
    return found


def warn_of_unknown() -> None:
    """A RuntimeWarning for each variable that looks like one of these and is none."""
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name not in VARIABLES:
            known = nearest(name)
            warnings.warn(f"unknown environment variable {name}: did you mean {known}? "
                          f"({VARIABLES[known].kind}; read by {VARIABLES[known].reader})",
                          RuntimeWarning, stacklevel=3)


def nearest(name: str) -> str:
    for known in VARIABLES:  # cut short
        if known.startswith(name.upper()):
            return known
    import difflib  # only where it is needed: this module is imported with the package
    found: list[str] = difflib.get_close_matches(name.upper(), VARIABLES, 1, 0)
    return found[0]
