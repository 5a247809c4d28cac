"""What it costs to call OpenSSL through a table of its functions, as pysidctx's modules do, over calling it directly.

The sides are native modules that differ in nothing else. They are timed in turns, in one process.
"""

import json
import random
import ssl
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

import pyperf
from rich.table import Table

import pysidctx.binding
from benchmarks import native
from benchmarks.calls.bindings_worker import DIRECT, EMPTY, FUNCTIONS, SIDES, WHOLE
from benchmarks.calls.timing import SID_CTX
from benchmarks.report import judged, spread, table, verdict
from benchmarks.valgrind import MISSING, PRESENT, TOGGLED, dumps, valgrind

WANTED = 1.02

Rounds = list[dict[str, float]]                    # seconds of a call, by side
Instructions = dict[str, dict[str, float]]         # of a call, by function and side


class Effort(NamedTuple):
    rounds: int
    turns: int    # of each side in a round
    calls: int    # in a turn
    counted: int


FULL, QUICK = Effort(15, 300, 10_000, 100_000), Effort(1, 20, 1_000, 10_000)


class Bindings(NamedTuple):
    """The results of measure()."""

    rounds: dict[str, Rounds]
    instructions: Optional[Instructions]  # None: valgrind is missing

    def tables(self) -> list[Table]:
        return [times(self.rounds), counts(self.instructions)]

    def for_pyperf(self) -> list[pyperf.Benchmark]:
        return [pyperf.Benchmark([pyperf.Run([each[side] for each in rounds], collect_metadata=False, metadata={
                    "name": f"{function} {side}", "unit": "second"})])
                for function, rounds in self.rounds.items() for side in SIDES]


def measure(quick: bool) -> Bindings:
    effort, chance = QUICK if quick else FULL, random.Random(0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return Bindings({function: [one_round(name, context, effort, chance) for _ in range(effort.rounds)]
                     for function, name in FUNCTIONS.items()}, count(effort.counted) if PRESENT else None)


def one_round(name: str, context: ssl.SSLContext, effort: Effort, chance: random.Random) -> dict[str, float]:
    """Return the median of each side's turns, in seconds for one call."""
    loops = {side: getattr(native.load(module), name) for side, module in SIDES.items()}
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    order = list(SIDES)
    for _ in range(effort.turns):
        chance.shuffle(order)
        for side in order:
            taken[side].append(loops[side](effort.calls, context, SID_CTX) / effort.calls)
    return {side: statistics.median(values) for side, values in taken.items()}


def count(calls: int) -> Instructions:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        valgrind(out, [TOGGLED], "calls.bindings_worker", str(calls))
        found = {tuple(json.loads(name)): total for name, total in dumps(out).items()}
    counted: Instructions = {}
    for function, side, loops in found:
        if loops:  # without what a loop that makes no call takes
            counted.setdefault(function, {})[side] = (
                found[function, side, loops] - found[function, side, 0]) / loops
    return counted


def times(measured: dict[str, Rounds]) -> Table:
    made = table("A call of OpenSSL, by time: median of the rounds, and ratio to a direct call (least to most)",
                 "function", "", "ns", "ratio", "wanted", "")
    for function, rounds in measured.items():
        for side in SIDES:
            values = [each[side] / each[DIRECT] for each in rounds]
            made.add_row(function if side == DIRECT else "", side, spread((1e9 * each[side] for each in rounds), ".2f"),
                         *([""] * 3 if side == DIRECT else [spread(values, ".3f"), *verdict(values, WANTED)]))
    return made


def counts(instructions: Optional[Instructions]) -> Table:
    made = table("A call of OpenSSL, by instructions (callgrind), the loop's with them, and ratio to a direct call",
                 "function", "", "instructions", "ratio", "wanted", "")
    if instructions is None:
        made.add_row(MISSING, "", "", "", "", "")
        return made
    for function in FUNCTIONS:
        sides = instructions[function]
        for side in SIDES:
            ratio = sides[side] / sides[DIRECT]
            made.add_row(function if side == DIRECT else "", side, f"{sides[side]:.1f}",
                         *([""] * 3 if side == DIRECT else [f"{ratio:.3f}", *judged(ratio, True, WANTED)]))
    whole = instructions[WHOLE]
    made.add_row(f"{WHOLE}, less an {EMPTY}", f"pysidctx as it is installed ({pysidctx.binding.binding()})",
                 f"{whole[WHOLE] - whole[EMPTY]:.1f}", "", "", "")
    return made
