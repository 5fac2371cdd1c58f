"""The rule: which two images make a pair, beside the ceiling above which they count as duplicates."""

from dataclasses import dataclass
from typing import Any, Literal

from miner.text import counted

RuleName = Literal["band", "knn", "mutual", "local", "shared"]
AnyRule = RuleName | Literal["table"]

NEIGHBORS, SHARED = 10, 6


@dataclass(frozen=True)
class Rule:
    """A rule on neighbour lists. `band` needs no lists: it is a rule on the cosine alone. `table` takes pairs that are given.

    Attributes:
        neighbors: k, the length of the lists that two images are looked up in.
        local: lowest locally scaled similarity of the rule `local`.
        shared: fewest entries that two lists of 2 k have in common, of the rule `shared`.
    """

    name: AnyRule
    neighbors: int = NEIGHBORS
    local: float = 0.0
    shared: int = SHARED

    @property
    def listed(self) -> int:
        """Neighbours of each image that the rule needs to know."""
        return 2 * self.neighbors if self.name == "shared" else self.neighbors

    def record(self) -> dict[str, Any]:
        """The rule as options of `miner pairs`."""
        if self.name == "table":
            return {"rule": self.name}
        own = (self.name,) if self.name in ("local", "shared") else ()
        return {"rule": self.name, "neighbors": self.neighbors, **{str(name): getattr(self, name) for name in own}}

    def __str__(self) -> str:
        k = self.neighbors
        each = f"each is among the {k} nearest of the other"
        return {
            "band": "every pair",
            "table": "the two stand in a row of a given table",
            "knn": f"one is among the {k} nearest of the other",
            "mutual": each,
            "local": f"twice the cosine exceeds the sum of both means over {counted(k, 'neighbour')} by at least {self.local:g}",
            "shared": f"{each}, and of their {self.listed} nearest at least {self.shared} agree",
        }[self.name]
