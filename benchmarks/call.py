"""What one call costs, as ratios against what it stands on, all measured in one run."""

from pathlib import Path

from benchmarks import call_worker as worker
from benchmarks import rounds
from benchmarks.rounds import Ratio

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
    Ratio(worker.PYOPENSSL, (worker.CONTEXT,), 20, at_least=True),
    Ratio(worker.CTYPES, (worker.CONTEXT,)),
    Ratio(worker.CFFI, (worker.CONTEXT,)),
)


def run(results: Path, quick: bool) -> None:
    """Measure, print the tables, write what pyperf has to `call.json` in the folder `results`."""
    rounds.run("call_worker", RATIOS, results / "call.json", quick, loops=20_000)
