"""Networks side by side on several data sets: their accuracies, and the mean of their ranks."""

from collections.abc import Sequence

from miner.artifacts.workspace import Workspace
from miner.engine import Record, read_json
from miner.tables import markdown_lines

# Neither the network nor what only its record tells.
_NOT_OF_TEST = ("network", "batch_size", "pretraining", "overlap")


def ranked_networks(records: Sequence[Record], workspace: Workspace) -> list[Record]:
    """The networks of the workspace that were judged in the tests of all these records, the best first.

    Returns:
        For each its name, its accuracies in percent in the order of the records, and `mean_rank`; a rank of 1 is the highest
        accuracy, and equal accuracies share the mean of their ranks.
    """
    folders = [workspace.root, *workspace.runs()]
    made = [read_json(path) or {} for folder in folders for path in sorted((folder / "eval").glob("transfer-*.json"))]
    tests = [_test_of(record) for record in records]
    columns: list[dict[str, float]] = [{} for _ in tests]
    for record in made:
        for test, column in zip(tests, columns, strict=True):
            if _test_of(record) == test:
                control = f"random:{record['network'].removeprefix('random:')}"
                column[control] = record["results"]["random"]["test"]
                column[record["network"]] = record["results"]["trained"]["test"]
    names = [name for name in columns[0] if all(name in column for column in columns)]
    found = [
        {
            "network": name,
            "accuracies": [column[name] for column in columns],
            "mean_rank": sum(_rank(column[name], [column[other] for other in names]) for column in columns)
            / len(columns),
        }
        for name in names
    ]
    return sorted(found, key=lambda row: float(row["mean_rank"]))


def rank_lines(records: Sequence[Record], ranked: Sequence[Record]) -> list[str]:
    """A table for people; empty without networks."""
    if not ranked:
        return []
    header = ["network", *(record["request"]["set"] for record in records), "mean rank"]
    rows = [
        [row["network"], *(f"{value:.1f} %" for value in row["accuracies"]), f"{row['mean_rank']:.1f}"]
        for row in ranked
    ]
    return markdown_lines([header, ["---"] * len(header), *rows])


def _test_of(record: Record) -> Record:
    """What networks must have in common to be ranked together."""
    return {name: value for name, value in record.get("request", {}).items() if name not in _NOT_OF_TEST}


def _rank(own: float, accuracies: Sequence[float]) -> float:
    better, equal = sum(other > own for other in accuracies), sum(other == own for other in accuracies)
    return 1 + better + (equal - 1) / 2
