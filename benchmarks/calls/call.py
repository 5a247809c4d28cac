"""The cost of one call as a ratio to the functions that it calls, all measured in one run."""

import json
from pathlib import Path

from benchmarks.calls import bindings, bindings_worker, rounds
from benchmarks.calls import call_worker as worker
from benchmarks.calls.rounds import Ratio
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part

MEASURED = ("pyperf", "valgrind")
ALONE = (worker.EMPTY, worker.OPENSSL_CTX, worker.OPENSSL_SSL, worker.OPENSSL_CTX_ALL, worker.OPENSSL_SSL_ALL,
         worker.ATTRIBUTE_OBJECT, worker.ATTRIBUTE_SOCKET)
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


def pictures(figures: Path) -> list[Picture]:
    found = {name: values for name, values in rounds.recorded(figures, 1e-9).items()
             if not name.startswith(tuple(bindings_worker.FUNCTIONS)) or name in ALONE}
    plain = {name: values for name, values in found.items() if name in ALONE}
    ours = {name: values for name, values in found.items() if name not in ALONE}
    series = [Series("what pysidctx calls", Role.PLAIN, plain), Series("pysidctx", Role.OURS, ours)]
    return [Picture("call", "One call", "ns", "The time of one call of each function, and of what it calls",
                    [Bars("", series)])]
