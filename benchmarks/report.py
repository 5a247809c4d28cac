"""Report figures with their spread, their targets, and a description of the machine."""

import platform
import ssl
import statistics
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Optional

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Part(NamedTuple):
    """The results of one part of the benchmarks."""

    name: str
    about: Optional[str]             # the part's docstring
    tables: list[Table]
    plots: tuple[str, ...] = ()      # image files beside the report
    notes: tuple[str, ...] = ()      # remarks


def spread(values: Iterable[float], form: str) -> str:
    """Format the median, with the minimum and the maximum."""
    ordered = sorted(values)
    return (f"{format(statistics.median(ordered), form)} "
            f"({format(ordered[0], form)} to {format(ordered[-1], form)})")


def verdict(value: float, wanted: Optional[float], at_least: bool = False) -> tuple[str, str]:
    """Format the target, if there is one, and whether it was reached."""
    if wanted is None:
        return "", ""
    reached = value >= wanted if at_least else value <= wanted
    return (f"{'at least' if at_least else 'at most'} {wanted:g}",
            "reached" if reached else "missed")


def table(title: str, *headings: str) -> Table:
    drawn = Table(box=box.SIMPLE, title=title)
    for heading in headings:
        drawn.add_column(heading)
    return drawn


def picture(width: float, height: float) -> "Figure":
    """A picture of this size in inches."""
    # Only here: under valgrind, which draws none, its import takes most of the time.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def console() -> Console:
    made = Console()
    # Do not wrap tables if the output is not a terminal.
    return made if made.is_terminal else Console(width=200)


def about(processor: str, cores: str) -> str:
    return (f"CPython {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}, {processor}, "
            f"{cores} cores")


def processor() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def markdown(part: Part) -> str:
    """A section of the report."""
    lines = [f"## {part.name}", "", (part.about or "").strip(), ""]
    for drawn in part.tables:
        headings = [str(column.header) for column in drawn.columns]
        lines += [f"### {drawn.title}", "", row(headings), row(["---"] * len(headings))]
        lines += [row(cells) for cells in zip(*(list(column.cells) for column in drawn.columns))]
        lines.append("")
    lines += [line for note in part.notes for line in (note, "")]
    lines += [line for name in part.plots for line in (f"![{part.name}]({name})", "")]
    return "\n".join(lines)


def row(cells: "Iterable[object]") -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
