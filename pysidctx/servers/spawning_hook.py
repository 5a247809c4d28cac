"""The hook of a server that spawns its workers: if the environment names no secret, they inherit a random one."""

import os
import ssl
import weakref
from collections.abc import Callable
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from typing import Any, Optional

from pysidctx import environment
from pysidctx.servers.current_context import Build
from pysidctx.servers.factory import inherit_secret, ssl_context_factory

LENGTH = 32  # bytes

Hook = Callable[[Any, Build], ssl.SSLContext]


class SpawningHook:
    """`ssl_context_factory`, with a secret that goes along when it is pickled for a worker.

    The secret goes through a pipe that only the worker inherits, so it is in no file, argument or environment variable.
    """

    def __init__(self, secret: Optional[bytearray] = None) -> None:
        self._secret = new_secret() if secret is None else secret
        inherit_secret(self._secret)

    def __call__(self, config: Any, default_factory: Build) -> ssl.SSLContext:
        return ssl_context_factory(config, default_factory)

    def __reduce__(self) -> tuple[Any, ...]:
        if environment.value(environment.SECRET_FILE) is not None:
            return hook_in_worker, (None,)
        return hook_in_worker, (handed_over(self._secret),)


def hook_in_worker(handed: Any) -> Hook:
    """For pickle."""
    if handed is None:
        return ssl_context_factory
    secret = bytearray(LENGTH)
    with open(handed.detach(), "rb", buffering=0) as pipe:
        if pipe.readinto(secret) != LENGTH:
            raise EOFError("this worker has not received the secret of its parent process: restart the server")
    return SpawningHook(secret)


def new_secret() -> bytearray:
    secret = bytearray(LENGTH)
    with open("/dev/urandom", "rb", buffering=0) as source:  # os.urandom() would leave a copy that cannot be wiped
        if source.readinto(secret) != LENGTH:
            raise OSError("/dev/urandom has no random numbers")
    return secret


def handed_over(secret: bytearray) -> Any:
    """Return an object whose detach() returns, in the worker that is being spawned, a descriptor to read it from."""
    worker = get_spawning_popen()
    if worker is None:
        raise TypeError("the hook of `pysidctx serve` can only be pickled for a worker that multiprocessing spawns")
    reader, writer = os.pipe()
    try:
        os.write(writer, secret)
    finally:
        os.close(writer)
    weakref.finalize(worker, os.close, reader)  # the worker has a descriptor of its own as soon as it is started
    return DupFd(reader)
