"""The picture of the figures."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET

import pytest

from postmeter_web.account.chart import SIZES, Drawing, lines, svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>"


def drawing(values: list[list[int]], title: str = "Mail", labels: list[str] | None = None) -> Drawing:
    return Drawing(title, labels or [""] * len(values[0]), values, "{:,}".format)


def heights(image: bytes) -> list[list[float]]:
    """The heights of the bars of each series."""
    series = [one for one in ET.fromstring(image).iter(f"{SVG}g") if one.get("class") == "bars"]
    return [[float(bar.get("height", 0)) for bar in one.iter(f"{SVG}rect")] for one in series]


def test_bars_stand_on_each_other_as_high_as_they_are_many() -> None:
    delivered, bounced = heights(svg(drawing([[4, 8], [0, 4]]), False))
    assert delivered[1] == pytest.approx(2 * delivered[0])
    assert bounced == [pytest.approx(delivered[0])]


def test_it_has_no_script_and_asks_nobody_for_anything() -> None:
    image = svg(drawing([[1, 2], [3, 4]], HOSTILE, [HOSTILE, ""]), False).decode()
    assert "<script" not in image
    assert "&lt;script&gt;" in image
    assert set(re.findall(r"https?://[^\"]*", image)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "Pygal" not in image


def test_it_has_a_title_labels_and_figures_in_the_readers_language() -> None:
    image = svg(drawing([[1200, 0, 0], [0, 0, 0]], "Mail of today", ["00:00", "", "06:00"]), False)
    texts = [text.text for text in ET.fromstring(image).iter(f"{SVG}text")]
    assert {"00:00", "06:00", "500", "1,500"} <= set(texts)
    assert [title.text for title in ET.fromstring(image).iter(f"{SVG}title")] == ["Mail of today"]


def test_it_is_light_or_dark_by_itself() -> None:
    assert b"@media (prefers-color-scheme:dark)" in svg(drawing([[1]]), False)


@pytest.mark.parametrize("narrow", [True, False])
def test_a_narrow_window_has_a_drawing_of_its_own(narrow: bool) -> None:
    width, height = SIZES[narrow]
    assert f'viewBox="0 0 {width} {height}"' in svg(drawing([[1, 2]]), narrow).decode()


def test_nothing_at_all_can_be_drawn() -> None:
    assert heights(svg(drawing([[0] * 96, [0] * 96]), False)) == [[], []]


@pytest.mark.parametrize(
    ("highest", "wanted"),
    [(0, [0, 1]), (1, [0, 1]), (3, [0, 1, 2, 3]), (5, [0, 2, 4, 6]), (99, [0, 50, 100]), (1001, [0, 500, 1000, 1500])],
)
def test_lines_are_at_round_figures(highest: int, wanted: list[int]) -> None:
    assert lines(highest) == wanted


def test_a_week_by_the_hour_is_drawn_quickly_and_small() -> None:
    begun = time.process_time()
    image = svg(drawing([[n % 23 for n in range(168)], [n % 3 for n in range(168)], [1] * 168]), False)
    assert time.process_time() - begun < 1.0
    assert len(image) < 100_000
