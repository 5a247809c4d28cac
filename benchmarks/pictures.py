"""Pictures of the figures: a colour says what is measured, axes begin at 0, and bars show the spread of the rounds."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from pysidctx.cli.demo import colours

if TYPE_CHECKING:  # what measures itself need not load it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Text stays text, which the reader's fonts show; and the same figures make the same file.
SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "pysidctx", "font.size": 9}
BAR, GAP = 0.19, 0.1  # inches: of a bar, and between rows
WIDTH = 9.5


class Role(Enum):
    """What is measured, by colour. The demo has the first two."""

    PLAIN = colours.PLAIN      # without pysidctx: ssl, OpenSSL, other ways in Python; and a full handshake
    PLAIN_CACHE = "#7d7d7d"    # the same, whose sessions OpenSSL's own cache keeps
    OURS = colours.OURS        # with pysidctx; and a handshake resumed by a ticket
    OURS_CACHE = "#12395c"     # the same, whose sessions a cache keeps
    NGINX = "#3f9c6a"
    OTHER = "#d9883a"          # another library or binding


class Series(NamedTuple):
    """Figures of one kind."""

    label: str
    role: Role
    values: Mapping[Any, Sequence[float]]  # of each round, by row, a str; for lines, by the number that they are over
    style: str = "-"                       # of a line
    marker: str = "o"


class Bars(NamedTuple):
    """Bars to the right, in groups by row."""

    title: str
    series: Sequence[Series]

    @property
    def rows(self) -> list[str]:
        return list(dict.fromkeys(row for each in self.series for row in each.values))

    def slots(self) -> Iterator[tuple[str, list[Series]]]:
        """Each row, with what has a bar in it."""
        for row in self.rows:
            yield row, [each for each in self.series if row in each.values]


class Lines(NamedTuple):
    """Lines over a number."""

    title: str
    across: str
    series: Sequence[Series]


Panel = Union[Bars, Lines]


class Picture(NamedTuple):
    """Panels beside each other, in one file."""

    name: str       # of the file, without .svg
    title: str
    unit: str
    alt: str        # the picture in words
    panels: Sequence[Panel]
    one_scale: bool = False


def save(pictures: Sequence[Picture], folder: Path) -> None:
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        for picture in pictures:
            drawn(picture).savefig(folder / f"{picture.name}.svg", metadata={"Date": None, "Creator": None})


def drawn(picture: Picture) -> "Figure":
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, height(picture)), layout="constrained")
        figure.suptitle(f"{picture.title}, {picture.unit}", fontsize=11)
        beside = figure.subplots(1, len(picture.panels), squeeze=False, sharex=picture.one_scale)[0]
        for axes, panel in zip(beside, picture.panels):
            if isinstance(panel, Bars):
                draw_bars(axes, panel)
                axes.set_xlabel(picture.unit)
            else:
                draw_lines(axes, panel)
                axes.set_ylabel(picture.unit)
            axes.set_title(panel.title, fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
        labels = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels())}
        figure.legend(labels.values(), labels, loc="outside lower center", ncols=4, frameon=False)
        begin_at_zero(figure, picture)
    return figure


def height(picture: Picture) -> float:
    """Inches, so that bars are of one height in all pictures."""
    rows = [sum(BAR * len(present) + GAP for _, present in panel.slots())
            for panel in picture.panels if isinstance(panel, Bars)]
    labels = {each.label for panel in picture.panels for each in panel.series}
    return max([1.2, *rows]) + 1.3 + 0.2 * -(-len(labels) // 4)


def draw_bars(axes: "Axes", panel: Bars) -> None:
    ticks, place = [], 0.0
    for row, present in panel.slots():
        for number, series in enumerate(present):
            values = series.values[row]
            axes.barh(place + BAR * (number + 0.5), statistics.median(values), BAR, color=series.role.value,
                      xerr=error(values), error_kw={"elinewidth": 0.8, "ecolor": "black"},
                      label=series.label)
        ticks.append(place + BAR * len(present) / 2)
        place += BAR * len(present) + GAP
    axes.set_yticks(ticks, panel.rows)
    axes.invert_yaxis()


def draw_lines(axes: "Axes", panel: Lines) -> None:
    for series in panel.series:
        points = sorted(series.values.items())
        values = [values for _, values in points]
        axes.errorbar([float(place) for place, _ in points], list(map(statistics.median, values)),
                      yerr=[list(pair) for pair in zip(*map(ends, values))], color=series.role.value,
                      linestyle=series.style, marker=series.marker, markersize=4, linewidth=1.2, elinewidth=0.8,
                      label=series.label)
    axes.set_xlabel(panel.across)


def ends(values: Sequence[float]) -> tuple[float, float]:
    """How far the least and the most are from the median."""
    median = statistics.median(values)
    return median - min(values), max(values) - median


def error(values: Sequence[float]) -> "list[list[float]] | None":
    return [[end] for end in ends(values)] if len(values) > 1 else None


def begin_at_zero(figure: "Figure", picture: Picture) -> None:
    """A difference may be less than 0: then its axis begins there."""
    leasts = [least_of(panel) for panel in picture.panels]
    for axes, panel, least in zip(figure.axes, picture.panels, leasts):
        if isinstance(panel, Lines):
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
        elif (min(leasts) if picture.one_scale else least) >= 0:
            axes.set_xlim(left=0)


def least_of(panel: Panel) -> float:
    return min((value for each in panel.series for values in each.values.values() for value in values), default=0)
