"""Time single calls, and provide their arguments."""

import ctypes
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Union

import pysidctx

if TYPE_CHECKING:
    import pyperf

# As derive_session_id_context() makes them, and as long as they get.
SID_CTX = pysidctx.derive_session_id_context("benchmark")

MANY = 100


def call(runner: "pyperf.Runner", name: str, function: Callable[..., object], *arguments: object) -> None:
    calls(runner, name, function, [arguments] * MANY)


def calls(runner: "pyperf.Runner", name: str, function: Callable[..., object],
          given: Sequence[Sequence[object]]) -> None:
    """Time many calls written one after the other, so that the loop itself does not count."""
    distinct = list({id(argument): argument for row in given for argument in row}.values())
    names = {id(argument): f"a{number}" for number, argument in enumerate(distinct)}
    lines = [f"f({', '.join(names[id(argument)] for argument in row)})" for row in given]
    # Bound in the setup, which makes them local variables.
    setup = ["f = function"] + [f"{name} = distinct[{number}]"
                                for number, name in enumerate(names.values())]
    runner.timeit(name, lines, setup, inner_loops=len(given),
                  globals={"function": function, "distinct": distinct})


def pointer_of(target: "Union[ssl.SSLContext, ssl.SSLObject]") -> int:
    """The SSL_CTX or the SSL of an ssl object, for ctypes."""
    size = ctypes.sizeof(ctypes.c_void_p)
    owner: Any = target
    address = id(owner) if isinstance(target, ssl.SSLContext) else id(owner._sslobj) + size
    return ctypes.c_void_p.from_address(address + object.__basicsize__).value or 0
