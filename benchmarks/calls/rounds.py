"""Run a pyperf script in several rounds, and report its figures as ratios.

A round is one pyperf process for each figure; the rounds follow each other, so that a ratio is
always between figures of the same round, and its spread is that over the rounds. A quick round is one process for all.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import pyperf
from rich.progress import track
from rich.table import Table

from benchmarks import ROOT, native
from benchmarks.report import spread, table, verdict

Round = dict[str, float]  # seconds by the names that the script gives


class Ratio(NamedTuple):
    """A ratio of a figure to the sum of others, with its target if there is one."""

    figure: str
    baseline: tuple[str, ...]
    wanted: Optional[float] = None
    at_least: bool = False

    def of(self, measured: Round) -> float:
        return measured[self.figure] / sum(measured[name] for name in self.baseline)


def measure(script: str, effort: Sequence[str]) -> pyperf.BenchmarkSuite:
    """Run one round of the module `benchmarks.calls.<script>`."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "round.json")
        subprocess.run(
            [sys.executable, "-m", f"benchmarks.calls.{script}", "--quiet", "--processes=1",
             "--warmups=1", *effort, f"--output={result}"],
            check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
        )
        return pyperf.BenchmarkSuite.load(str(result))


def medians(suite: pyperf.BenchmarkSuite) -> Round:
    return {name: suite.get_benchmark(name).median() for name in suite.get_benchmark_names()}


def costs(rounds: list[Round]) -> Table:
    drawn = table("One call: median of the rounds (least to most)", "")
    drawn.add_column("ns", justify="right")
    for name in rounds[0]:
        drawn.add_row(name, spread((1e9 * measured[name] for measured in rounds), ".1f"))
    return drawn


def ratios(rounds: list[Round], asked: Sequence[Ratio]) -> Table:
    drawn = table("Ratios: median of the rounds (least to most)",
                  "figure", "over", "ratio", "wanted", "")
    for ratio in asked:
        values = [ratio.of(measured) for measured in rounds]
        drawn.add_row(ratio.figure, " + ".join(ratio.baseline), spread(values, ".2f"),
                      *verdict(values, ratio.wanted, ratio.at_least))
    return drawn


def run(script: str, asked: Sequence[Ratio], target: Path, quick: bool, loops: int) -> list[Table]:
    """Measure, and return the tables. pyperf's data is written to `target`."""
    native.build()
    effort = ["--worker", "--values=2", f"--loops={max(loops // 20, 1)}"] if quick else [
        "--values=3", f"--loops={loops}"]
    suites = []
    for _ in track(range(1 if quick else 5), description=target.stem, transient=True):
        suites.append(measure(script, effort))
    rounds = [medians(suite) for suite in suites]
    total, *others = suites
    for suite in others:
        total.add_runs(suite)
    total.dump(str(target), replace=True)
    return [costs(rounds), ratios(rounds, asked)]


def recorded(target: Path, unit: float) -> dict[str, list[float]]:
    """The figures of each round, by name, from the file that run() wrote; `unit` is in seconds."""
    suite = pyperf.BenchmarkSuite.load(str(target))
    return {name: [statistics.median(run.values) / unit for run in suite.get_benchmark(name).get_runs() if run.values]
            for name in suite.get_benchmark_names()}


def add(target: Path, measured: Sequence[pyperf.Benchmark]) -> None:
    """Add benchmarks to the file that run() wrote to `target`."""
    suite = pyperf.BenchmarkSuite.load(str(target))
    for benchmark in measured:
        suite.add_benchmark(benchmark)
    suite.dump(str(target), replace=True)
