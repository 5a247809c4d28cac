"""Draw the demo's comparison as an image."""

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from pysidctx.cli.demo.colours import OURS, PLAIN

COLOURS = PLAIN, OURS


def formats() -> list[str]:
    """Return the supported file name extensions."""
    return sorted(Figure().canvas.get_supported_filetypes())


def draw(path: str, shares: dict[str, dict[str, float]], rates: dict[str, Sequence[float]]) -> None:
    """Write the image to `path`, in the format of its extension. Raises OSError, and ValueError for an unknown one."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 1))
    names = list(shares)
    labels = list(shares[names[0]])
    height = 0.38
    for number, name in enumerate(names):
        places = [place + (number - 0.5) * height for place in range(len(labels))]
        bars = left.barh(places, [100 * shares[name][label] for label in labels], height,
                         label=name, color=COLOURS[number])
        left.bar_label(bars, fmt="%.0f %%", padding=2)
        median = sorted(rates[name])[len(rates[name]) // 2]
        # From the slowest turn to the fastest.
        right.bar([name], [median], color=COLOURS[number], capsize=4,
                  yerr=[[median - min(rates[name])], [max(rates[name]) - median]])
    left.set_yticks(range(len(labels)), [textwrap.fill(label, 16) for label in labels])
    left.invert_yaxis()
    left.set_xlim(0, 115)
    left.set_xlabel("% of the sessions, or clients")
    left.legend()
    right.set_ylabel("connections a second")
    figure.savefig(path)
