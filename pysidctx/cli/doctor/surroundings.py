"""The interpreter, its libssl, and the environment variables of pysidctx."""

import os
import sys
from collections.abc import Iterator
from typing import Any

from pysidctx import environment
from pysidctx.cli import info
from pysidctx.cli.check.verdicts import FAULT, INFO, OK
from pysidctx.cli.doctor.findings import ENVIRONMENT, Finding
from pysidctx.cli.doctor.words import parted

# Variables that servers do not read.
OF_OTHERS = ("setup.py", "the tests")


def surroundings(variables: dict[str, str], unknown: list[str], rehearsed: dict[str, Any], secret_is_refused: bool
                 ) -> Iterator[Finding]:
    """`variables` are the known ones as the server has them, `rehearsed` is what an import of pysidctx.servers said."""
    yield from libraries()
    for name in sorted(unknown):
        yield Finding(ENVIRONMENT, "variable", FAULT, f"the environment variable {name} is not known, and has no "
                      "effect",
                      f"rename it, or remove it: {environment.suggested(environment.nearest(name))}")
    messages = list(rehearsed.get("warnings", ()))
    error = rehearsed.get("error")
    if error and not (secret_is_refused and names_secret(error, variables)):
        messages.append(error.partition(": ")[2] or error)  # without the type
    for message in messages:
        seen, do = parted(message)
        yield Finding(ENVIRONMENT, "variable", FAULT, seen,
                      do or "correct the environment variable that this is about, and restart the server")
    told = " ".join([*messages, error or ""])
    for name, value in sorted(variables.items()):
        if environment.VARIABLES[name].reader.startswith(OF_OTHERS):
            yield Finding(ENVIRONMENT, "variable", INFO, f"{name} is {value!r}, which servers do not read: it is for "
                          f"{environment.VARIABLES[name].reader}")
        elif name != environment.SECRET_FILE and name not in told and repr(value) not in told:  # that has a section
            yield Finding(ENVIRONMENT, "variable", OK, f"{name} is {value!r}{existing(name, value)}")


def libraries() -> Iterator[Finding]:
    found = info.libraries()
    if found["libssl says that it is"] != found["OpenSSL"]:
        yield Finding(ENVIRONMENT, "libssl", FAULT, f"Python's ssl says that it uses {found['OpenSSL']}, but the "
                      f"libssl that pysidctx calls says that it is {found['libssl says that it is']}",
                      "please report this, with the output of `pysidctx info`")
    yield Finding(ENVIRONMENT, "python", OK, f"pysidctx {found['pysidctx']} in {found['pysidctx is in']} works with "
                  f"{found['Python']} ({sys.executable}) and {found['OpenSSL']} ({found['libssl is in']})")


def names_secret(error: str, variables: dict[str, str]) -> bool:
    path = variables.get(environment.SECRET_FILE)
    return environment.SECRET_FILE in error or bool(path) and (repr(path) in error or repr(os.path.abspath(str(path)))
                                                               in error)


def existing(name: str, path: str) -> str:
    """Say of a file whether it exists."""
    if environment.VARIABLES[name].kind != "file":
        return ""
    return ", which exists" if os.path.exists(path) else ", which does not exist yet: the server makes it"
