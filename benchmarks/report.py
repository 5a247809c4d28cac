"""Report figures with their spread, their targets and their pictures."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.pictures import Picture

ONE_ROUND = "no verdict: one round"
QUICK = "One short round, so that the figures are rough, and there are no verdicts on times."


class Part(NamedTuple):
    """The results of one part of the benchmarks."""

    name: str
    about: Optional[str]             # the part's docstring
    tables: list[Table]
    notes: tuple[str, ...] = ()      # remarks
    pictures: Sequence[Picture] = ()  # whose files are beside the report


def spread(values: Iterable[float], form: str) -> str:
    """Format the median, with the minimum and the maximum."""
    ordered = sorted(values)
    return (f"{format(statistics.median(ordered), form)} "
            f"({format(ordered[0], form)} to {format(ordered[-1], form)})")


def verdict(rounds: Sequence[float], wanted: Optional[float], at_least: bool = False) -> tuple[str, str]:
    """Format the target, if there is one, and whether the median of the rounds reaches it. One round tells nothing."""
    return judged(statistics.median(rounds), len(rounds) > 1, wanted, at_least)


def judged(value: float, enough: bool, wanted: Optional[float], at_least: bool = False) -> tuple[str, str]:
    """The same of a single value, such as a count of instructions; whether enough was measured, the caller says."""
    if wanted is None:
        return "", ""
    reached = value >= wanted if at_least else value <= wanted
    return (f"{'at least' if at_least else 'at most'} {wanted:g}",
            ONE_ROUND if not enough else "reached" if reached else "missed")


def table(title: str, *headings: str) -> Table:
    drawn = Table(box=box.SIMPLE, title=title)
    for heading in headings:
        drawn.add_column(heading)
    return drawn


def console() -> Console:
    made = Console()
    # Do not wrap tables if the output is not a terminal.
    return made if made.is_terminal else Console(width=200)


def report(told: dict[str, str], warning: Optional[str], measured: Sequence[Part], quick: bool) -> str:
    """The whole, as Markdown: under which conditions, and each part."""
    kind = QUICK if quick else (
        "Sides that are compared were measured in one run, in turns; ratios are the median of the rounds, "
        "with the least and the most. So are the bars of the pictures.")
    title = f"Benchmarks: {measured[0].name}" if len(measured) == 1 else "Benchmarks"
    lines = [f"# {title}", "", kind, "", *([f"**{warning}**", ""] if warning else []), *headed([""] * 2)]
    return "\n".join([*lines, *map(row, told.items()), "", *map(markdown, measured)])


def markdown(part: Part) -> str:
    """A section of the report."""
    lines = [f"## {part.name}", "", (part.about or "").strip(), ""]
    lines += [line for each in part.pictures for line in (f"![{each.alt}]({each.name}.svg)", "")]
    for drawn in part.tables:
        lines += [f"### {drawn.title}", "", *headed([str(column.header) for column in drawn.columns])]
        lines += [row(cells) for cells in zip(*(list(column.cells) for column in drawn.columns))]
        lines.append("")
    lines += [line for note in part.notes for line in (note, "")]
    return "\n".join(lines)


def headed(headings: Sequence[str]) -> list[str]:
    return [row(headings), row(["---"] * len(headings))]


def row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
