"""The cost of setting a session id context with pysidctx and with other libraries.

pyOpenSSL and M2Crypto have contexts and connections of their own; ctypes and cffi are given pointers that
were found beforehand.
"""

from pathlib import Path

from benchmarks.calls import peers_worker as worker
from benchmarks.calls import rounds
from benchmarks.calls.rounds import Ratio
from benchmarks.report import Part

MISSING = "M2Crypto is missing here: `make bench` installs it, with what builds it."


def run(results: Path, quick: bool) -> Part:
    """Measure. pyperf's data is written to `peers.json` in the folder `results`."""
    ratios = [Ratio(worker.PYOPENSSL, (worker.CONTEXT,), 20, at_least=True),
              Ratio(worker.CTYPES, (worker.CONTEXT,)), Ratio(worker.CTYPES_CONNECTION, (worker.CONNECTION,)),
              Ratio(worker.CFFI, (worker.CONTEXT,))]
    if worker.HAS_M2CRYPTO:
        ratios += [Ratio(worker.M2CRYPTO, (worker.CONTEXT,)),
                   Ratio(worker.M2CRYPTO_CONNECTION, (worker.CONNECTION,))]
    tables = rounds.run("peers_worker", ratios, results / "peers.json", quick, loops=400)
    return Part("peers", __doc__, tables, notes=() if worker.HAS_M2CRYPTO else (MISSING,))
