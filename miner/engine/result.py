"""The result of a stage."""

from dataclasses import dataclass, field

from miner.engine.records import Record


@dataclass(frozen=True)
class Result:
    """The result of a stage, for programs and for people.

    Attributes:
        stage: name of the stage.
        record: the result as JSON values.
        lines: the result for people, one fact a line.
        fresh: False if an earlier run had done everything.
        headline: the few (name, value) facts that sum up a whole recipe.
        measured: rates and memory of this run; they go to run.json, not to a manifest.
        rehearsal: True if the user asked to write nothing; such a run is not logged.
    """

    stage: str
    record: Record
    lines: list[str] = field(default_factory=list)
    fresh: bool = True
    headline: list[tuple[str, str]] = field(default_factory=list)
    measured: Record = field(default_factory=dict)
    rehearsal: bool = False
