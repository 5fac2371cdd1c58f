"""Numbers as people read them."""

import pytest

from miner.report.text import percent, rate, short_count, source_name


def test_counts_on_axes():
    assert [short_count(number) for number in (0.1, 10, 1e3, 1.5e6, 1e9)] == ["0.1", "10", "1k", "1.5M", "1G"]


@pytest.mark.parametrize(("number", "shown"), [(0.0621, "0.062"), (6.24, "6.2"), (9.99, "10"), (1234.0, "1,234")])
def test_rates_never_use_exponents(number: float, shown: str):
    assert rate(number) == shown


def test_percent():
    assert percent(0.94123) == "94.1%"


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("sample", "sample"),
        ("/data/photos/", "photos"),
        ("s3://bucket/set", "set"),
        ("/d/a-{0..4}.tar", "a-{0..4}.tar"),
    ],
)
def test_a_source_is_called_by_its_last_part(spec: str, name: str):
    assert source_name(spec) == name
