"""What a stage says when it ends."""

from dataclasses import dataclass, field

from miner.engine.records import Record


@dataclass(frozen=True)
class Result:
    """What a stage says when it ends.

    Attributes:
        stage: its name.
        record: the result, ready for JSON.
        lines: the same for people, one fact a line.
        fresh: False when everything had been done before.
        headline: the few (name, value) facts that a whole run is summed up by.
        measured: rates and memory of this very run; they go to run.json, not to a manifest.
        rehearsal: True when nothing was written, as asked; such a run is not logged.
    """

    stage: str
    record: Record
    lines: list[str] = field(default_factory=list)
    fresh: bool = True
    headline: list[tuple[str, str]] = field(default_factory=list)
    measured: Record = field(default_factory=dict)
    rehearsal: bool = False
