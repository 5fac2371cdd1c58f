"""The release in git: what is kept of it is what `miner publish` wrote."""

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq

from miner.engine import is_signed

RELEASE = Path(__file__).parents[2] / "datasets_out" / "sample-pairs"
LEFT_OUT = {"anchor-positive/train-00000-of-00001.parquet", "data/images-000000.tar", "data/pairs-000000.tar"}


def test_kept_files_have_their_checksums() -> None:
    lines = [line.split("  ") for line in (RELEASE / "SHA256SUMS").read_text().splitlines()]
    expected = {name: digest for digest, name in lines if name not in LEFT_OUT}
    assert {name for _, name in lines} >= LEFT_OUT and len(expected) == len(lines) - 3
    assert {name: hashlib.sha256((RELEASE / name).read_bytes()).hexdigest() for name in expected} == expected
    assert is_signed((RELEASE / "manifest.json").read_bytes())


def test_kept_tables_have_the_rows_of_the_card() -> None:
    configs = json.loads((RELEASE / "manifest.json").read_text())["configs"]
    assert configs["anchor-positive"]["rows"] == pq.read_metadata(RELEASE / "data" / "pairs.parquet").num_rows == 5773
    assert configs["images"]["rows"] == pq.read_metadata(RELEASE / "data" / "images.parquet").num_rows == 3000
