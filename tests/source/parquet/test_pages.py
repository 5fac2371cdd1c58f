import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.errors import MinerError
from miner.source.parquet.pages import stated_by_footer, stated_by_pages
from miner.source.parquet.reader import ParquetSource
from tests.embed.bombs import page, with_pages

WORDS = [random.Random(number).randbytes(300) for number in range(200)]
COLUMNS = pa.table({"image": WORDS, "kind": [number % 3 for number in range(200)], "tags": [[b"a", b"b"], []] * 100})


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_an_honest_footer_agrees_with_its_pages(tmp_path: Path, codec: str, version: str, dictionary: bool) -> None:
    path = tmp_path / "a.parquet"
    small = {"data_page_size": 512, "write_batch_size": 8, "dictionary_pagesize_limit": 2_000}
    pq.write_table(
        COLUMNS,
        path,
        compression=codec,
        data_page_version=version,
        use_dictionary=dictionary,
        row_group_size=120,
        **small,
    )
    with pq.ParquetFile(path) as file, path.open("rb") as stream:
        groups = [file.metadata.row_group(number) for number in range(2)]
        for chunk in (group.column(number) for group in groups for number in range(3)):
            assert stated_by_pages(stream, chunk) == stated_by_footer(chunk)
            with pytest.raises(OSError, match=r"no page at byte|a header of a page"):
                stated_by_pages(path.with_name("zeros").open("w+b"), chunk)


@pytest.mark.parametrize("header", [b"\x80" * 99, b"\x15\0\x15\x01\x15\x01\0", b"\x1d" * 99, b"\0", b"\x1c" * 99])
def test_what_is_no_page_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(COLUMNS, path, compression="zstd", use_dictionary=False)
    with_pages(path, 0, header)
    with path.open("rb") as stream, pytest.raises(OSError, match=r"no page at byte|a header of a page"):
        stated_by_pages(stream, pq.read_metadata(path).row_group(0).column(0))


def test_a_page_counts_with_what_its_header_states(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(COLUMNS.select(["image"]), path, compression="zstd", use_dictionary=False)
    with_pages(path, 0, page(1 << 30, b"", 200))
    with pytest.raises(MinerError, match=r"row group of 1\.0 GiB and 200 values in the column image"):
        ParquetSource(str(path), largest_group_bytes=1 << 20)
