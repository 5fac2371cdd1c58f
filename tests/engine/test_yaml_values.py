import pytest

from miner.engine.yaml_values import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("2.5E-4", 0.00025),
        (".5", 0.5),
        ("-17", -17),
        ("0", 0),
        ("007", "007"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("2025-02-31", "2025-02-31"),
        ("2025-01-01", "2025-01-01"),
        ("2025-01-01 10:00:00", "2025-01-01 10:00:00"),
        ("1.2.3", "1.2.3"),
        ("0x10", "0x10"),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_scalars_are_those_of_people(text: str, value: object) -> None:
    found = parse_yaml(text)
    assert (found, type(found)) == (value, type(value))


NINE = ", ".join(["*{0}"] * 9)
LAUGHS = "".join(f"{n}: &{n} [{NINE.format(b)}]\n" for b, n in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [x, x, x]\n" + LAUGHS, "values, with what its aliases stand for"),
        ("a: &a {b: *a}", "in itself"),
        ("&a [*a]", "in itself"),
        ("[" * 20_000, "nested too deeply"),
        ("{a: " * 5_000 + "1" + "}" * 5_000, "nested too deeply"),
        ("x" * 2_000_000, "characters"),
        ("9" * 5_000, "digits"),
        ("a: 1\na: 2", "'a' stands twice in one mapping, line 1"),
        ("a: {b: 1, b: 2}", "'b' stands twice"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [", "expected the node content"),
    ],
)
def test_what_nobody_writes_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_yaml(text)
