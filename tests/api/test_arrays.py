"""The searches of `miner.band_join` and `miner.nearest`: against brute force, and against the stage."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import miner
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.table import read_pairs
from miner.errors import MinerError, UsageError
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.vectors import brute_force, clustered


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_band_join_equals_miner_pairs_byte_for_byte(dtype, make_embeddings) -> None:
    vectors = clustered(700, 32).astype(dtype)
    workspace = make_embeddings(vectors)
    pairs(PairsOptions(min=0.7, max=0.9), workspace)
    table = read_pairs(workspace.pairs / "pairs.parquet")
    a, b, cosine = miner.band_join(vectors, low=0.7, high=0.9)
    assert len(a) > 100
    np.testing.assert_array_equal(a, table["a"].to_numpy())
    np.testing.assert_array_equal(b, table["b"].to_numpy())
    np.testing.assert_array_equal(cosine.astype(np.float32), table["similarity"].to_numpy())
    np.testing.assert_array_equal(cosine, rescore(MemoryVectors(vectors), a, b))


def test_tensors_and_float64_are_searched_as_float32() -> None:
    vectors = clustered(200, 16).astype(np.float64)
    wanted = miner.band_join(vectors.astype(np.float32), 0.7, 0.9)
    for same in (vectors, torch.from_numpy(vectors).requires_grad_(), vectors.astype(np.float32)[:, ::1].tolist()):
        for mine, theirs in zip(miner.band_join(same, 0.7, 0.9), wanted, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    short = torch.from_numpy(vectors).bfloat16()
    for mine, theirs in zip(miner.nearest(short, 3), miner.nearest(short.float().numpy(), 3), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_nearest_equals_a_float64_sort() -> None:
    vectors = clustered(300, 16).astype(np.float16)
    cosines = brute_force(vectors)
    np.fill_diagonal(cosines, -np.inf)
    cosines[cosines > 0.95] = -np.inf
    ids, found = miner.nearest(vectors, 7, high=0.95)
    wanted = np.argsort(-cosines, axis=1, kind="stable")[:, :7]
    reached = np.take_along_axis(cosines, wanted, axis=1) > -np.inf
    np.testing.assert_array_equal(ids, np.where(reached, wanted, -1))
    np.testing.assert_array_equal(found[reached], np.take_along_axis(cosines, wanted, axis=1)[reached])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_nearest_of_another_set_equals_a_float64_sort(dtype) -> None:
    vectors = clustered(120, 16)
    ours, theirs = vectors[:50].astype(np.float16), vectors[50:].astype(dtype)
    ids, found = miner.nearest(ours, 4, against=theirs)
    both = np.concatenate([ours.astype(dtype), theirs])
    cosines = brute_force(both)[:50, 50:]
    np.testing.assert_array_equal(ids, np.argsort(-cosines, axis=1, kind="stable")[:, :4])
    np.testing.assert_array_equal(found, np.take_along_axis(cosines, ids, axis=1))


def test_wrong_arguments_are_refused_in_words() -> None:
    vectors = clustered(20, 8)
    for call, words in (
        (lambda: miner.band_join(vectors[0]), r"shape \(n, d\)"),
        (lambda: miner.band_join(np.ones((3, 2), int)), "floating numbers"),
        (lambda: miner.band_join(vectors, 0.9, 0.5), "above"),
        (lambda: miner.nearest(vectors, 20), "between 1 and 19"),
        (lambda: miner.nearest(vectors, 0), "between 1 and 19"),
        (lambda: miner.nearest(vectors, 2, against=vectors[:, :4]), "4 dimensions"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    with pytest.raises(MinerError, match="zero or not finite"):
        miner.nearest(np.concatenate([vectors, np.zeros((1, 8), np.float32)]), 2)
    with pytest.raises(MinerError, match="More than 10 pairs"):
        miner.band_join(np.ones((30, 4)), 0.5, 1.0, max_pairs=10)


def test_import_is_light_and_every_public_name_is_there() -> None:
    program = (
        "import sys; before = {*sys.modules}; import miner\n"
        "new = {*sys.modules} - before\n"
        "assert {name for name in new if name.partition('.')[0] not in sys.stdlib_module_names} == {'miner'}, new\n"
        "assert len(new) < 40, new\n"
        "import miner.pairs.run  # the package of a stage stays a package, and stays callable\n"
        "assert all(callable(getattr(miner, name)) for name in miner.__all__), miner.__all__\n"
        "assert {name for name in dir(miner) if not name.startswith('_')} == {*miner.__all__}"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
