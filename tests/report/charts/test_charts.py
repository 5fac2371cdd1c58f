"""Scales, ticks and bars against numbers that can be checked by eye."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.artifacts.pairs.band import Band
from miner.report.charts.curves import curve_chart, thinned
from miner.report.charts.degree import degree_chart, degree_steps
from miner.report.charts.precision import precision_chart
from miner.report.charts.similarity import bins_of, similarity_chart
from miner.report.charts.svg import Scale, linear_ticks, log_ticks, tag, text
from miner.report.galleries.cards import spread_places


def histogram(counts: list[int]) -> dict:
    return {"low": -1.0, "high": 1.0, "counts": counts, "pairs_per_count": 0.5}


def widths(svg: str, kind: str) -> list[float]:
    return [float(width) for width in re.findall(rf'width="([\d.]+)" height="[\d.]+" class="{kind}"', svg)]


def test_scale_maps_ends_to_ends_and_the_middle_between():
    assert [Scale(0, 10, 100, 0)(value) for value in (0, 5, 10)] == [100, 50, 0]
    assert [Scale(1, 100, 0, 10, log=True)(value) for value in (1, 10, 100)] == [0, 5, 10]
    assert Scale(3, 3, 0, 10)(3) == 5


def test_ticks_are_round_and_inside():
    assert linear_ticks(0.03, 1.0, 5) == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert linear_ticks(0, 72, 4) == [0, 20, 40, 60]
    assert log_ticks(0.25, 2000) == [1, 10, 100, 1000]
    assert len(log_ticks(1, 1e12)) <= 6


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 10))
def test_linear_ticks_never_leave_the_range(low: float, width: float, about: int):
    ticks = linear_ticks(low, low + width, about)
    assert len(ticks) <= about + 1
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in ticks)


def test_text_and_attributes_are_escaped():
    assert text(0, 0, "<b>&") == '<text x="0" y="0">&lt;b&gt;&amp;</text>'
    assert tag("a", aria_label='">') == '<a aria-label="&#34;&gt;"/>'


def test_bins_begin_at_the_first_pair_and_count_pairs():
    bins = bins_of(histogram([0, 0, 4, 0, 6, 2]))
    assert [each.pairs for each in bins] == [2, 0, 3, 1]
    assert bins[0].low == pytest.approx(-1 / 3) and bins[-1].high == 1.0


def test_pairs_of_a_rule_are_counted_in_their_bins() -> None:
    chosen = np.array([0.1, 0.3, 0.3])
    assert [each.chosen for each in bins_of(histogram([4, 4, 4, 4]), chosen)] == [0, 0, 3, 0]
    chart = similarity_chart(histogram([4, 4, 4, 4]), Band(-1, 0.9), chosen)
    assert chart is not None and chart.count("bar chosen") == 2  # wide and narrow
    assert "duplicates above 0.9" in chart and "band -1" not in chart and "has chosen 3" in chart


def test_only_the_part_of_a_bin_inside_the_band_is_coloured():
    chart = similarity_chart(histogram([4, 4, 4, 4]), Band(0.25, 0.5))
    assert chart is not None
    wide = chart.split("</svg>")[0]
    whole, (part,) = widths(wide, "bar"), widths(wide, "bar chosen")
    assert len(whole) == 4 and part == pytest.approx(whole[2] / 2, rel=0.02)
    assert "The band is 0.25 to 0.5" in chart
    assert similarity_chart(histogram([0, 0]), Band(0.2, 0.5)) is None


def test_precision_chart_says_its_ends_aloud():
    points = [
        {"min": 0.91, "pairs": 4, "precision": 1.0, "coverage": 0.25},
        {"min": 0.9, "pairs": 10, "precision": 0.8, "coverage": 0.5},
    ]
    chart = precision_chart(points, 0.1)
    assert "80.0% from 0.9 (10 pairs, 50.0% of the images), 100.0% from 0.91 (4 pairs, 25.0% of the images)" in chart
    assert "Random pairs: 10.0%" in chart
    assert "nan" not in precision_chart(points[:1], 0.99)


def test_precision_and_coverage_are_drawn_at_their_heights():
    points = [
        {"min": 0.9 + step / 100, "pairs": 10 - step, "precision": 0.5 + step / 10, "coverage": 0.5 - step / 10}
        for step in range(3)
    ]
    wide = precision_chart(points, 0.1).split("</svg>")[0]
    (coverage,) = re.findall(r'<path d="([^"]+)" class="line coverage"', wide)
    (precision,) = re.findall(r'<path d="([^"]+)" class="line"', wide)
    heights = [[float(place.split()[1]) for place in re.split("[ML]", line)[1:]] for line in (precision, coverage)]
    assert heights[0][0] == heights[1][0]
    assert heights[0] == sorted(heights[0], reverse=True) and heights[1] == sorted(heights[1])
    assert heights[0][0] - heights[0][2] == pytest.approx(heights[1][2] - heights[1][0], abs=0.1)


def test_degree_steps_count_every_image_once():
    degree = np.asarray([0, 0, 1, 2, 3, 3, 9])
    assert degree_steps(degree) == [("0", 2), ("1", 1), ("2 to 3", 3), ("4 to 7", 0), ("8 to 15", 1)]
    assert "8 to 15: 1" in degree_chart(degree)


def test_degree_bars_are_as_long_as_their_counts():
    wide = degree_chart(np.asarray([0] * 8 + [1] * 4 + [2] * 2)).split("</svg>")[0]
    (none,), (one, two) = widths(wide, "bar"), widths(wide, "bar chosen")
    assert none == pytest.approx(2 * one) and one == pytest.approx(2 * two)


def test_a_missing_value_breaks_the_line():
    chart = curve_chart({0: [(1, 1.0), (2, None), (3, 2.0)]}, "d", from_zero=True, as_percent=False)
    assert chart is not None
    (line,) = re.findall(r'<path d="([^"]+)" class="run run-0"', chart)
    assert line.count("M") == 2
    assert curve_chart({0: [(1, None)]}, "d", from_zero=True, as_percent=False) is None


def test_long_curves_keep_their_means_and_their_end():
    curve = [(float(step), float(step % 2)) for step in range(1, 10_001)]
    short = thinned(curve)
    assert len(short) <= 240 and short[-1][0] == 10_000
    assert np.mean([value for _, value in short]) == pytest.approx(0.5, abs=0.01)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=80), st.integers(1, 40))
def test_places_are_different_ascending_and_hold_both_ends(values: list[float], count: int):
    ascending = np.sort(np.asarray(values, np.float64))
    places = spread_places(ascending, count)
    assert len(places) == min(count, len(values))
    assert (np.diff(places) > 0).all()
    assert places[0] == 0 and (count == 1 or places[-1] == len(values) - 1)
