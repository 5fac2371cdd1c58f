"""The end of `miner embed`: the images that could not be used, and the manifest."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from miner.artifacts.embeddings import store
from miner.artifacts.embeddings.images import ERROR_SCHEMA, UnusableImage, table_of_rows
from miner.artifacts.parquet import load_table, save_table
from miner.artifacts.stage_folder import GrowingStage
from miner.embed.options import EmbedOptions
from miner.engine import Record, Unit, committed
from miner.errors import MinerError
from miner.text import counted

_ERRORS_ALWAYS_ALLOWED = 10


def allowed_errors(options: EmbedOptions, images: int) -> float:
    """How many of these images may be unusable."""
    return max(options.max_errors * images, _ERRORS_ALWAYS_ALLOWED)


class ErrorWatch:
    """Stops a run when more images fail than `--max-errors` allows for the whole source."""

    def __init__(self, options: EmbedOptions, images: int, units: Sequence[Unit]) -> None:
        self.allowed = allowed_errors(options, images)
        self.images = images
        self.reasons: Counter[str] = Counter()
        for unit in units:
            if unit.done:
                self.look(unit)

    def look(self, unit: Unit) -> None:
        """Count the failures of a finished unit.

        Raises:
            MinerError: they are too many.
        """
        self.reasons.update(load_table(unit.files[1], ["reason"])["reason"].to_pylist())
        if self.reasons.total() > self.allowed:
            raise MinerError(
                f"{self.reasons.total():,} of {counted(self.images, 'image')} could not be used so far "
                f"({_common(self.reasons)}), more "
                "than --max-errors allows. Check the source. What is finished is kept: the same command with a higher "
                "--max-errors continues (1 allows any number)."
            )


def _common(reasons: Counter[str]) -> str:
    return ", ".join(f"{number:,} x {reason}" for reason, number in reasons.most_common(3))


def finish(record: Record, stage: GrowingStage, least: int = 2) -> Record:
    """Merge the error tables of the blocks, check that enough images can be used, and write the manifest."""
    folder, numbers = stage.folder, range(record["blocks"])
    parts = [part for number in numbers if (part := store.error_part_path(folder, number)).exists()]
    merged = folder / "errors.parquet"
    # The errors before a growth come first. A run that was killed after it wrote the merged table meets its own rows again.
    tables = [load_table(path) for path in [*([merged] if merged.exists() else []), *parts]]
    errors = {row["key"]: UnusableImage(**row) for table in tables for row in table.to_pylist()}
    reasons = Counter(image.reason for image in errors.values())
    vectors = [store.vectors_path(folder, number) for number in numbers]
    shapes = [np.load(path, mmap_mode="r").shape for path in vectors]
    count = sum(shape[0] for shape in shapes)
    if count < least:
        stage.discard()
        raise MinerError(
            f"Only {count} of the {counted(record['source']['images'], 'image')} of {record['source']['spec']} could be read "
            f"({_common(reasons)}).{' A pair needs two.' * (least > 1)} Check that the files are images; nothing was kept."
        )
    with committed(merged) as partial_file:
        save_table(table_of_rows(list(errors.values()), ERROR_SCHEMA), partial_file)
    return stage.finish(
        {**record, "dim": shapes[0][1], "count": count, "errors": dict(reasons.most_common())},
        [merged, *vectors, *(store.metadata_path(folder, number) for number in numbers)],
    )
