"""The file with the secret that keys derive from."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Optional, Union

from pysidctx import arguments, environment, private_files
from pysidctx._typing import Path

CONTENT = private_files.Content("a secret", ValueError, arguments.MAX_SECRET, "", group_of_root=True,
                                source=" (`python -m pysidctx secret PATH` writes one)")


class OfEnvironment:
    """The default of a path: read it from the environment variable.

    It is not None, because a caller may pass the None of another variable that is not set by mistake.
    """

    def __repr__(self) -> str:
        return f"${environment.SECRET_FILE}"


OF_ENVIRONMENT = OfEnvironment()


def times(path: Union[Path, OfEnvironment], period: Optional[int], lifetime: Optional[int]) -> tuple[int, int]:
    """Return the period and the lifetime of keys that derive from a secret, in seconds. Raises TypeError, ValueError.

    Where they are None, the environment determines them if it names the secret, too.
    """
    if isinstance(path, OfEnvironment):
        return environment.times(period, lifetime)
    return arguments.checked_times(arguments.PERIOD if period is None else period,
                                   arguments.LIFETIME if lifetime is None else lifetime)


@contextmanager
def read(path: Union[Path, OfEnvironment]) -> Iterator[tuple[str, bytearray]]:
    """The absolute path of a file and the secret in it, which is overwritten when the context manager exits.

    Raises OSError if it cannot be read; ValueError if it is no such file, if other users have access to it, or if the
    environment is to name it and does not; TypeError if `path` is not a path. Messages name the file.
    """
    named = ""
    if isinstance(path, OfEnvironment):
        path = environment.needed(environment.SECRET_FILE)
        named = f"; the environment variable {environment.SECRET_FILE} names this file"
    elif not os.fspath(path):
        raise ValueError("the path of the secret file is empty: pass the path of a file that "
                         "`python -m pysidctx secret PATH` has written")
    with ExitStack() as stack:
        try:
            content = stack.enter_context(private_files.read(path, CONTENT))
            arguments.check_secret(len(content), repr(os.fsdecode(path)))
        except OSError as error:
            error.strerror = f"{error.strerror}: cannot read a secret{CONTENT.source}{named}"
            raise
        except ValueError as error:
            raise ValueError(f"{error}{named}") from None
        yield os.path.abspath(os.fsdecode(path)), content
