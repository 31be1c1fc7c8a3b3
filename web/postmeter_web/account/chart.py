"""Draws bars that stand on each other as an SVG image of its own: no script in it, and light or dark by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil
from typing import Any

import pygal
from pygal.style import Style

# It is there for maps, which nobody draws here, and Python 3.11 warns at each import that it is out of date.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"  # of the image's own
SIZES = {False: (960, 240), True: (340, 220)}  # by whether the window is narrow; CSS pixels, so that text is readable
MOST_LINES = 4  # across the drawing

# The colours are those of postmeter.css: delivered, bounced, deferred.
_LOOK = """
text { fill: #56616c }
.axis.y text { text-anchor: end } .axis.x text { text-anchor: middle }
.background { fill: none } .axis path { fill: none; stroke: #dfe4e9; stroke-width: 1 }
.axis.x path { display: none } .axis.y path.major { stroke: #b4bdc6 }
.color-0 rect { fill: #23618f } .color-1 rect { fill: #b3402f } .color-2 rect { fill: #c98a1b }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa7b4 } .axis path { stroke: #303a45 } .axis.y path.major { stroke: #56616c }
  .color-0 rect { fill: #74b3e0 } .color-1 rect { fill: #ef8a78 } .color-2 rect { fill: #e3b65a }
}
"""
_LEFT_OUT = {"script", "desc", "title"}
_NOTHING = {"0", "0.0"}


@dataclass(frozen=True)
class Drawing:
    """What is drawn: ``title`` for who cannot see it, and the ``values`` of each series under ``labels`` (some empty).

    ``number`` writes the figures of the axis.
    """

    title: str
    labels: Sequence[str]
    values: Sequence[Sequence[int]]
    number: Callable[[int], str]


def svg(drawing: Drawing, narrow: bool) -> bytes:
    """The drawing as a file, for a narrow window or a wide one."""
    width, height = SIZES[narrow]
    chart = pygal.StackedBar(
        width=width,
        height=height,
        css=[f"inline:{_LOOK}"],
        style=Style(font_family="system-ui, sans-serif", label_font_size=12, major_label_font_size=12),
        explicit_size=True,
        js=[],
        no_prefix=True,
        show_legend=False,
        margin=4,
        margin_right=16,
        spacing=6,
        truncate_label=-1,
        x_labels=list(drawing.labels),
        x_labels_major=[label for label in drawing.labels if label],
        show_minor_x_labels=False,
        y_labels=lines(max(map(sum, zip(*drawing.values, strict=True)), default=0)),
        value_formatter=lambda value: drawing.number(int(value)),
    )
    for values in drawing.values:
        chart.add("", list(values))
    chart.add_xml_filter(lambda root: _plain(root, drawing.title))
    image: bytes = chart.render()
    return image


def lines(highest: int) -> list[int]:
    """Where lines go across: at round figures, the last one not below the highest bar."""
    step = next(step for step in _round_figures() if step * MOST_LINES >= highest)
    return list(range(0, max(1, ceil(highest / step)) * step + 1, step))


def _round_figures() -> Iterator[int]:
    for power in count():
        yield from (10**power, 2 * 10**power, 5 * 10**power)


def _plain(root: Any, title: str) -> Any:
    """Without what only a drawing that answers the mouse needs, and bars of nothing."""
    for parent in list(root.iter()):
        for child in list(parent):
            unwanted = not isinstance(child.tag, str) or child.tag in _LEFT_OUT or child.get("height") in _NOTHING
            if unwanted and (parent is not root or child.tag != "title"):
                parent.remove(child)
    root.find("title").text = title
    return root
