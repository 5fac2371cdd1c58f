"""Constraints on pairs: --differ, --same and --apart compare the metadata of the two images."""

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import UsageError
from miner.pairs.metadata import read_metadata_columns
from miner.pairs.options import PairsOptions, parse_apart
from miner.pairs.tables.found import FoundPairs

_DAY_S = 86_400


@dataclass(frozen=True)
class Constraint:
    """A condition on a column of metadata. A pair of which one image has no value does not meet it.

    Attributes:
        option: the constraint as it is typed.
        values: float64 (n,), by row: a number for each distinct value, or for --apart the value itself; NaN where unknown.
        distance: least distance of the two values; None if they must be equal.
    """

    option: str
    values: NDArray[np.float64]
    distance: float | None

    def met_by(self, pairs: FoundPairs) -> NDArray[np.bool_]:
        """Whether each pair meets the condition, bool (m,)."""
        gap = np.abs(self.values[pairs.a] - self.values[pairs.b])
        return np.asarray(gap == 0 if self.distance is None else gap >= self.distance)

    def record(self, pairs: FoundPairs, searched: Rows) -> Record:
        """The constraint, how many of the pairs do not meet it, and how many of the searched rows have no value."""
        left_out, unknown = ~self.met_by(pairs), np.isnan(self.values[searched])
        return {"constraint": self.option, "left_out": int(left_out.sum()), "unknown": int(unknown.sum())}

    @property
    def sha256(self) -> str:
        """Changes when a value changes in a way that may decide about a pair."""
        return hashlib.sha256(self.values.astype("<f8").tobytes()).hexdigest()


def read_constraints(options: PairsOptions, workspace: Workspace) -> list[Constraint]:
    """The constraints that the options ask for, with the values of all images.

    Raises:
        UsageError: a column is unknown or empty, or --apart has values that are no numbers or dates.
        MinerError: the metadata cannot be read.
    """
    apart = dict(parse_apart(text) for text in options.apart)
    names = list(dict.fromkeys([*options.differ, *options.same, *apart]))
    if not names:
        return []
    store = EmbeddingStore(workspace)
    columns = read_metadata_columns(names, store, options.metadata)
    found = [Constraint(f"--differ {name}", _numbered(columns[name]), 1) for name in options.differ]
    found += [Constraint(f"--same {name}", _numbered(columns[name]), None) for name in options.same]
    for name, distance in apart.items():
        values, unit = _measured(name, columns[name], store.keys)
        found.append(Constraint(f"--apart {name}:{distance:g}", values, distance * unit))
    return found


def _numbered(values: Sequence[Any]) -> NDArray[np.float64]:
    """A number for each distinct value, in the order of their first image; NaN for None, NaN and ""."""
    numbers: dict[str, int] = {}
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value not in (None, "") and value == value:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
            found[row] = numbers.setdefault(text, len(numbers))
    return found


def _measured(column: str, values: Sequence[Any], keys: Sequence[str]) -> tuple[NDArray[np.float64], float]:
    """Numbers as they are, and dates in seconds; NaN for None, NaN and "". And the unit of a distance: 1, or a day."""
    found, kinds = np.full(len(values), np.nan), set()
    for row, value in enumerate(values):
        if value in (None, "") or value != value:
            continue
        is_date, found[row] = _number_or_seconds(value)
        if not math.isfinite(found[row]):
            raise UsageError(
                f"--apart {column}: {value!r} of the image {keys[row]} is neither a number nor a date such as 2025-03-01 or "
                "2025-03-01T12:00:00."
            )
        kinds.add(is_date)
    if len(kinds) > 1:
        raise UsageError(f"--apart {column}: the column holds numbers and dates. Give all values as one of them.")
    return found, _DAY_S if True in kinds else 1.0


def _number_or_seconds(value: Any) -> tuple[bool, float]:
    """Whether a value is a date, and the number, or the seconds since 1970; NaN if it is neither. Times without a zone are UTC."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return False, float(value)
    if isinstance(value, str):
        with suppress(ValueError):
            return False, float(value)
        with suppress(ValueError):
            value = datetime.fromisoformat(value.strip())
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return False, math.nan
    return True, (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
