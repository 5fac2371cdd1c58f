"""The names and the labels of vectors: of a file of keys, of tables beside the vectors, or the numbers of the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from miner.artifacts.foreign_table import TABLE_ENDINGS, as_text, foreign_columns, read_foreign_table
from miner.embed.existing.files import ExistingVectors
from miner.embed.options import EmbedOptions
from miner.errors import MinerError, UsageError
from miner.source.labels import ClassIndices, index_labels, parse_label
from miner.source.parquet.columns import NO_COLUMN, class_names_of, features_of
from miner.source.parts import KEY_COLUMNS
from miner.text import counted

_LABEL = "label"


@dataclass(frozen=True)
class RowNames:
    """What the rows are called.

    Attributes:
        names: one per vector; None where nothing names them, so that their numbers do.
        origin: where the names come from, for people.
        labels: of the rows; None without a column of labels.
    """

    names: pa.Array | None
    origin: str
    labels: ClassIndices | None


def read_names(options: EmbedOptions, vectors: ExistingVectors) -> RowNames:
    """The names and the labels of all rows.

    Raises:
        UsageError: a column has to be named, or is not there.
        MinerError: a file cannot be read, a name is missing or stands twice, or there are not as many names as vectors.
    """
    if options.keys is not None and not options.keys.is_file():
        raise UsageError(f"--keys {options.keys}: there is no such file.")
    if options.keys is None:
        found = _beside(options, vectors)
    elif options.keys.suffix.lower() in TABLE_ENDINGS:
        found = _of_table(options, options.keys)
    else:
        found = RowNames(_lines(options.keys), f"the lines of {options.keys}", None)
    if found.names is not None:
        _check(found.names, found.origin, len(vectors))
    return found


def _beside(options: EmbedOptions, vectors: ExistingVectors) -> RowNames:
    columns = vectors.columns.names
    flags = {"--key-column": options.key_column, "--label-column": None if options.source else options.label_column}
    for flag, name in flags.items():
        if name is not None and name not in (*columns, NO_COLUMN):
            listed = f"there are {', '.join(columns)[:300]}" if columns else "there is no table beside the vectors"
            raise UsageError(f"{flag} {name}: there is no such column, {listed}.")
    key = options.key_column or next((name for name in KEY_COLUMNS if name in columns), None)
    label = _label_column(options, columns)
    table = vectors.table([name for name in (key, label) if name])
    where = f"the column {key} of {vectors.beside[0].name}" if key else "the numbers of the rows"
    classes = class_names_of(features_of(vectors.columns).get(label, {})) if label else None
    names = as_text(table[key], f"The column {key} beside {vectors.place}") if key else None
    return RowNames(names, where, _labels(table, label, classes))


def _of_table(options: EmbedOptions, path: Path) -> RowNames:
    columns = foreign_columns(path, "--keys")
    key = options.key_column or next((name for name in KEY_COLUMNS if name in columns), None)
    if key is None and len(columns) == 1:
        key = columns[0]
    if key not in columns:
        missing = "none has a usual name" if key is None else f"none is called {key}"
        raise UsageError(
            f"--keys {path} has the columns {', '.join(columns)[:300]}, and {missing}. Name the keys with --key-column."
        )
    label = _label_column(options, columns)
    if label and label not in columns:
        raise UsageError(f"--label-column {label}: {path} has the columns {', '.join(columns)[:300]}.")
    table = read_foreign_table(path, "--keys", [name for name in (key, label) if name])
    return RowNames(
        as_text(table[key], f"The column {key} of {path}"), f"the column {key} of {path}", _labels(table, label)
    )


def _label_column(options: EmbedOptions, columns: Sequence[str]) -> str | None:
    """The column of labels; none where the images of a source have labels of their own."""
    chosen = options.label_column or (_LABEL if _LABEL in columns else NO_COLUMN)
    return None if options.source or chosen == NO_COLUMN else chosen


def _labels(table: pa.Table, column: str | None, classes: list[str] | None = None) -> ClassIndices | None:
    if column is None:
        return None
    return index_labels([parse_label(_number(value)) for value in table[column].to_pylist()], classes)


def _number(value: object) -> object:
    """A whole number that a table of text holds as a number."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _lines(path: Path) -> pa.Array:
    try:
        return pa.array(path.read_text("utf-8-sig").splitlines(), pa.string())
    except (OSError, UnicodeDecodeError) as error:
        raise MinerError(
            f"--keys {path} cannot be read as text ({error}). Give a text file with one key a line, or a table "
            f"({', '.join(TABLE_ENDINGS)})."
        ) from error


def _check(names: pa.Array, origin: str, rows: int) -> None:
    if len(names) != rows:
        raise MinerError(
            f"There are {counted(len(names), 'key')} in {origin}, and {counted(rows, 'vector')}. They must agree, row by row."
        )
    counts = pc.value_counts(names)
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        examples = ", ".join(f"{one['values']} ({one['counts']} times)" for one in twice.slice(0, 3).to_pylist())
        raise MinerError(
            f"{counted(len(twice), 'key stands', 'keys stand')} more than once in {origin}: {examples}. Each vector "
            "needs a key of its own."
        )
    if not pc.min(pc.utf8_length(names)).as_py():
        raise MinerError(f"A key is empty in {origin} (row {pc.index(names, '').as_py()}).")
