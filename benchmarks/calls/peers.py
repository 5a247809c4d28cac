"""The cost of setting a session id context with pysidctx and with other libraries.

pyOpenSSL and M2Crypto have contexts and connections of their own; ctypes and cffi are given pointers that
were found beforehand.
"""

from pathlib import Path

from benchmarks.calls import peers_worker as worker
from benchmarks.calls import rounds
from benchmarks.calls.rounds import Ratio
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part

MEASURED = ("pyperf", "pyOpenSSL", "cryptography", "M2Crypto", "cffi")
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


def pictures(figures: Path) -> list[Picture]:
    found = rounds.recorded(figures, 1e-9)
    ours = (worker.CONTEXT, worker.CONNECTION)
    return [Picture("peers", "Setting a session id context, one call", "ns",
                    "The time of setting an id context with pysidctx, pyOpenSSL, M2Crypto, ctypes and cffi", [
        Bars("", [
            Series("pysidctx", Role.OURS, {name: each for name, each in found.items() if name in ours}),
            Series("other libraries", Role.OTHER, {name: each for name, each in found.items() if name not in ours})])])]
