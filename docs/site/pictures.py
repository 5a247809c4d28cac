"""Draws the flowcharts of the pages, which GitHub draws from Mermaid's text, as SVG: top down, one row a floor."""

import html
import re
from functools import cache

from docutils import nodes
from sphinx.application import Sphinx

ARROW = re.compile(r'^ +(\w+)(?:\["([^"]*)"\])? --> (\w+)(?:\["([^"]*)"\])?$', re.MULTILINE)
WIDTH, HEIGHT, GAP, STEP = 196, 34, 26, 78  # of a box, between boxes, and from row to row


def drawn(text: str) -> str:
    """The SVG of a `flowchart TD` of arrows."""
    arrows: list[tuple[str, str]] = []
    labels: dict[str, str] = {}
    for source, source_label, target, target_label in ARROW.findall(text):
        arrows.append((source, target))
        for name, label in (source, source_label), (target, target_label):
            labels[name] = label or labels.get(name, name)
    assert len(arrows) == text.count("-->"), "a line of this flowchart is not understood"

    @cache
    def row(name: str) -> int:
        return max((row(source) + 1 for source, target in arrows if target == name), default=0)

    rows: dict[int, list[str]] = {}
    for name in labels:
        rows.setdefault(row(name), []).append(name)
    widest = max(map(len, rows.values()))
    middle = (widest * (WIDTH + GAP) + GAP) / 2
    at = {name: (middle + (place - (len(names) - 1) / 2) * (WIDTH + GAP), GAP + level * STEP + HEIGHT / 2)
          for level, names in rows.items() for place, name in enumerate(names)}
    shapes = []
    for source, target in arrows:
        (x1, y1), (x2, y2) = at[source], at[target]
        y1, y2 = y1 + HEIGHT / 2, y2 - HEIGHT / 2 - 7
        shapes.append(f'<path d="M{x1:g} {y1:g} C{x1:g} {y1 + 22:g} {x2:g} {y2 - 22:g} {x2:g} {y2:g}"/>'
                      f'<path class="tip" d="M{x2 - 4:g} {y2:g} h8 l-4 7 z"/>')
    for name, (x, y) in at.items():
        shapes.append(f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
                      f'<text x="{x:g}" y="{y + 4:g}">{html.escape(labels[name])}</text>')
    return (f'<svg class="flowchart" role="img" viewBox="0 0 {2 * middle:g} {GAP + len(rows) * STEP:g}" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(shapes)}</svg>')


def draw(app: Sphinx, doctree: nodes.document) -> None:
    for block in list(doctree.findall(nodes.literal_block)):
        if block.get("language") == "mermaid":
            block.replace_self(nodes.raw("", f'<div class="picture">{drawn(block.astext())}</div>', format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
