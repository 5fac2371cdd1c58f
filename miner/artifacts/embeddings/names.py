"""Which image a name means that somebody else has written: a key, a path, or the name of a file."""

import os.path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from miner.artifacts.embeddings.vectors import Rows

NAMES_HELP = "A name may be the key of an image, its path, its path behind any folder, or the name of its file."


def images_named(names: pa.Array, keys: pa.Array, paths: pa.Array) -> Rows:
    """The row of the image that each name means, int64 (n,), -1 where there is none.

    All names are keys; or all are paths, without the folders that all of them begin with; or all are names of files, with or
    without their ending, if no two images share one. Of these, that is taken which most names fit.

    Args:
        names: text (n,).
        keys, paths: of all images, text (m,).
    """
    best = pc.index_in(names, value_set=keys)
    ways = [(pc.utf8_slice_codeunits(names, start), paths) for start in _starts(names)]
    ways += [(_file_name(names), _file_name(paths)), (_stem(names), _stem(paths))]
    for wanted, known in ways:
        if not best.null_count:
            break
        if pc.count_distinct(known).as_py() == len(known):
            found = pc.index_in(wanted, value_set=known)
            best = min(best, found, key=lambda rows: rows.null_count)
    return np.asarray(best.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def _starts(names: pa.Array) -> list[int]:
    """Where a name may begin: at its start, and behind each folder that all names share."""
    if not len(names):
        return [0]
    shared = os.path.commonprefix([*pc.min_max(names).as_py().values()])  # noqa: RUF071  -- cut to whole folders here
    return [0, *(place + 1 for place, letter in enumerate(shared) if letter == "/")]


def _file_name(paths: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(paths, r"(?s)^.*/", "")


def _stem(paths: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(_file_name(paths), r"\.[A-Za-z0-9]+$", "")
