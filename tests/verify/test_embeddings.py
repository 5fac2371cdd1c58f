"""Embeddings that were edited with care, checksums and all, are found."""

import numpy as np
import pytest

from miner.artifacts.workspace import Workspace
from tests.verify.edits import put, rejects, resign, rewrite_table


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda block: block * np.float16(1.1), r"has length 1\.[01]"),
        (lambda block: block * np.float16(0), "zero or not finite"),
        (lambda block: block[:-1], "rows for 15 vectors"),
        (lambda block: block[:, :-1], "where the manifest says float16"),
        (lambda block: block.astype(np.float32), "where the manifest says float16"),
    ],
)
def test_edited_vectors_are_found(workspace: Workspace, edit, message: str) -> None:
    path = workspace.embeddings / "img_emb" / "img_emb_00001.npy"
    np.save(path, edit(np.load(path)))
    resign(workspace.embeddings)
    rejects(workspace.embeddings, message)


def test_key_that_occurs_twice_is_found(workspace: Workspace) -> None:
    rewrite_table(workspace.embeddings / "metadata" / "metadata_00000.parquet", lambda c: put("key", c["key"][0])(c))
    resign(workspace.embeddings)
    rejects(workspace.embeddings, "occurs twice")
