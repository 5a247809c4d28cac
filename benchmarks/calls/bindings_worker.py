"""Calls of OpenSSL, directly and through its tables, and of pysidctx: what valgrind runs.

`python -m benchmarks.calls.bindings_worker CALLS`

The instructions of each loop, and of the same loop without a call, go to one dump each, under a name that is
[function, side, calls] as JSON.
"""

import gc
import json
import ssl
import sys
from collections.abc import Callable
from itertools import repeat

import pysidctx
from benchmarks import native
from benchmarks.calls.timing import SID_CTX

DIRECT = "called directly (-fno-plt)"
SIDES = {DIRECT: "openssl_direct", "table filled by the linker": "openssl_linked",
         "table filled at import": "openssl_late"}
FUNCTIONS = {"SSL_CTX_get_ssl_method()": "get_ssl_method",
             "SSL_CTX_set_session_id_context()": "set_session_id_context"}
EMPTY = "empty Cython function"
WHOLE = "set_session_id_context(SSLContext)"

Loop = Callable[[int, ssl.SSLContext, bytes], object]


def loop_of(function: Callable[[ssl.SSLContext, bytes], object]) -> Loop:
    def loop(calls: int, context: ssl.SSLContext, sid_ctx: bytes) -> None:
        for _ in repeat(None, calls):
            function(context, sid_ctx)
    return loop


def main(calls: int) -> None:
    counting, context = native.load("handshake_cython"), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    loops: dict[tuple[str, str], Loop] = {
        (function, side): getattr(native.load(module), name)
        for function, name in FUNCTIONS.items() for side, module in SIDES.items()}
    loops[WHOLE, EMPTY] = loop_of(native.load("call_cython").empty)
    loops[WHOLE, WHOLE] = loop_of(pysidctx.set_session_id_context)
    for loop in loops.values():
        loop(100, context, SID_CTX)  # what is done once
    gc.disable()
    counting.count()
    for (function, side), loop in loops.items():
        for number in (0, calls):
            counting.toggle()
            loop(number, context, SID_CTX)
            counting.toggle()
            counting.dump(json.dumps([function, side, number]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
