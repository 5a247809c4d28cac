"""The cost of writing and reading sessions, compared with OpenSSL's own calls in C, all measured in one run."""

from pathlib import Path

from benchmarks.calls import rounds
from benchmarks.calls import session_worker as worker
from benchmarks.calls.rounds import Ratio
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part

MEASURED = ("pyperf",)
WRITE, READ, WRITE_PEM, READ_PEM = "write DER", "read DER", "write PEM", "read PEM"
PLAIN = {WRITE: worker.I2D, READ: worker.D2I}
OURS = {WRITE: worker.TO_DER, READ: worker.FROM_DER, WRITE_PEM: worker.TO_PEM, READ_PEM: worker.FROM_PEM}
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


def pictures(figures: Path) -> list[Picture]:
    found = rounds.recorded(figures, 1e-6)
    return [Picture("session", "Writing and reading a session", "us",
                    "The time of writing and of reading a session, with OpenSSL's functions and with pysidctx", [
        Bars(kind, [
            Series(label, role, {what: found[worker.name(call, kind)] for what, call in calls.items()})
            for label, role, calls in (("OpenSSL", Role.PLAIN, PLAIN), ("pysidctx", Role.OURS, OURS))])
        for kind in (worker.CLIENT, worker.SERVER)])]
