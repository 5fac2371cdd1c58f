"""Tables that somebody else wrote: CSV, Parquet or JSON lines, and which of their columns is meant."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from miner.artifacts.parquet import load_table
from miner.errors import MinerError, UsageError
from miner.text import counted

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".ndjson")
TABLE_ENDINGS = (*_DELIMITERS, ".parquet", *_JSON)


def read_foreign_table(path: Path, flag: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A CSV as text, without a guess at types: 007 is not 7. A Parquet file or JSON lines as they are.

    Args:
        flag: the option that names the file, for errors.
        columns: of a Parquet file, the only ones to read.
    Raises:
        UsageError: the file is of another kind.
        MinerError: it cannot be read.
    """
    ending = path.suffix.lower()
    if ending not in TABLE_ENDINGS:
        raise UsageError(f"{flag} {path}: give a .csv, .tsv, .parquet or .jsonl file.")
    try:
        if ending == ".parquet":
            return load_table(path, columns)
        with path.open("rb") as stream:
            if ending in _JSON:
                return pyarrow.json.read_json(stream)
            parse = pyarrow.csv.ParseOptions(delimiter=_DELIMITERS[ending], newlines_in_values=True)
            header = pyarrow.csv.open_csv(stream, parse_options=parse).schema.names
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        with path.open("rb") as stream:
            return pyarrow.csv.read_csv(stream, parse_options=parse, convert_options=convert)
    except (OSError, pa.ArrowException) as error:
        raise MinerError(f"{flag} {path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def foreign_columns(path: Path, flag: str) -> list[str]:
    """The names of the columns of a table; of a Parquet file without reading its rows. Errors as of `read_foreign_table`."""
    if path.suffix.lower() != ".parquet":
        return list(read_foreign_table(path, flag).column_names)
    try:
        with path.open("rb") as stream:
            return list(pq.read_schema(stream).names)
    except (OSError, pa.ArrowException) as error:
        raise MinerError(f"{flag} {path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def as_text(column: pa.ChunkedArray, where: str) -> pa.Array:
    """A column of names as text: numbers as they are written.

    Raises:
        MinerError: it holds something else, or a name is missing.
    """
    try:
        text = column.cast(pa.string()).combine_chunks()
    except pa.ArrowException:
        raise MinerError(f"{where} holds {column.type}, where names or numbers are expected.") from None
    if text.null_count:
        row = next(number for number, value in enumerate(text) if not value.is_valid)
        raise MinerError(f"{where} has no value in {counted(text.null_count, 'row')} (the first is row {row}).")
    return text
