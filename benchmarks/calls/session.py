"""The cost of writing and reading sessions, compared with OpenSSL's own calls in C, all measured in one run."""

from pathlib import Path

from benchmarks.calls import rounds
from benchmarks.calls import session_worker as worker
from benchmarks.calls.rounds import Ratio
from benchmarks.report import Part

RATIOS = tuple(
    Ratio(worker.name(figure, kind), (worker.name(baseline, kind),), wanted)
    for kind in (worker.CLIENT, worker.SERVER)
    for figure, baseline, wanted in (
        (worker.TO_DER, worker.I2D, 1.3), (worker.FROM_DER, worker.D2I, 1.3),
        (worker.TO_PEM, worker.I2D, None), (worker.FROM_PEM, worker.D2I, None),
    )
)


def run(results: Path, quick: bool) -> Part:
    """Measure. pyperf's data is written to `session.json` in the folder `results`."""
    return Part("session", __doc__, rounds.run("session_worker", RATIOS, results / "session.json", quick, loops=150))
