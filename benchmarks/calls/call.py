"""The cost of one call as a ratio to the functions that it calls, all measured in one run."""

import json
from pathlib import Path

from benchmarks.calls import bindings, rounds
from benchmarks.calls import call_worker as worker
from benchmarks.calls.rounds import Ratio
from benchmarks.report import Part

RATIOS = (
    Ratio(worker.CONTEXT, (worker.EMPTY, worker.OPENSSL_CTX), 1.25),
    Ratio(worker.CONTEXTS, (worker.EMPTY, worker.OPENSSL_CTX)),
    Ratio(worker.OBJECT, (worker.EMPTY, worker.OPENSSL_SSL), 2),
    Ratio(worker.SOCKET, (worker.EMPTY, worker.OPENSSL_SSL), 2),
    Ratio(worker.HEADER_CTX, (worker.OPENSSL_CTX_ALL,), 1.1),
    Ratio(worker.CIMPORT_CTX, (worker.OPENSSL_CTX_ALL,), 1.1),
    Ratio(worker.HEADER_SSL, (worker.OPENSSL_SSL_ALL,), 1.1),
    Ratio(worker.CIMPORT_SSL, (worker.OPENSSL_SSL_ALL,), 1.1),
    Ratio(worker.HEADER_CTX, (worker.OPENSSL_CTX,)),
    Ratio(worker.HEADER_SSL, (worker.OPENSSL_SSL,)),
)


def run(results: Path, quick: bool) -> Part:
    """Measure. pyperf's data is written to `call.json` in the folder `results`, instructions to `bindings.json`."""
    target = results / "call.json"
    tables = rounds.run("call_worker", RATIOS, target, quick, loops=6_000)
    bound = bindings.measure(quick)
    (results / "bindings.json").write_text(json.dumps(bound.instructions, indent=1))
    rounds.add(target, bound.for_pyperf())
    return Part("call", __doc__, [*tables, *bound.tables()])
