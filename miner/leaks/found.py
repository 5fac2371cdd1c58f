"""`miner.leaks`: the command as a function, and what it finds."""

import os
from functools import cached_property
from html import escape
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from miner.api.stages import listed
from miner.artifacts.leaks import LEAKS_TABLE, LeaksManifest
from miner.artifacts.parquet import load_table
from miner.artifacts.workspace import DEFAULT_LEAKS, Workspace
from miner.leaks.options import LeaksOptions
from miner.leaks.run import find_leaks

if TYPE_CHECKING:
    import pandas


class FoundLeaks:
    """What sets share. Its length is the number of pairs.

    Attributes:
        path: the folder with index.html, the tables and the lists of images to remove.
        manifest: the record of `miner leaks`.

    Raises:
        MinerError: there are no leaks in the workspace, or a file is damaged.

    >>> found = miner.leaks("photos/class0", "datasets_out/default", up_to="bytes", quiet=True)
    >>> found.to_arrow().column_names[:3], found.sentence.partition(" are ")[0]
    (['group', 'kind', 'set_a'], '17 of the 17 images of `photos/class0` (100.00%)')
    """

    def __init__(self, workspace: Workspace) -> None:
        self.manifest = LeaksManifest.read(workspace)
        self.path = LeaksManifest.path(workspace).parent

    def __len__(self) -> int:
        return self.manifest.pairs

    @property
    def sentence(self) -> str:
        """The sentence for a data set card."""
        return self.manifest.sentence

    @cached_property
    def remove(self) -> dict[str, list[str]]:
        """The keys of the images to remove, by the name of each set but the last."""
        names = [each.name for each in self.manifest.sets[:-1]]
        return {
            name: (self.path / f"remove-{number}.txt").read_text("utf-8").splitlines()
            for number, name in enumerate(names, 1)
        }

    def to_arrow(self) -> pa.Table:
        """A row per pair: the columns of leaks.parquet.

        Raises:
            MinerError: the file is missing or damaged.
        """
        return load_table(self.manifest.checked(self.path, LEAKS_TABLE))

    def to_pandas(self) -> "pandas.DataFrame":
        """`to_arrow` as a data frame.

        Raises:
            MinerError: as for `to_arrow`.
            ImportError: pandas is not installed.
        """
        frame: pandas.DataFrame = self.to_arrow().to_pandas()
        return frame

    def __repr__(self) -> str:
        return f"<{len(self):,} leaks in {self.path}>"

    def _repr_html_(self) -> str:
        page = escape(str(self.path / "index.html"), quote=True)
        return f'<p>{escape(self.sentence)}</p><p>Pictures: <a href="{page}">{page}</a></p>'


def leaks(
    *sets: str | os.PathLike[str],
    workspace: str | os.PathLike[str] = DEFAULT_LEAKS,
    force: bool = False,
    quiet: bool = False,
    **options: Any,
) -> FoundLeaks:
    """Find images that sets share: `miner leaks TRAIN TEST`.

    Args:
        sets: folders, shards, Parquet files, names of data sets, or workspaces; the one that may lose images first. Or one data
            set with splits.
        workspace: the folder of the result; datasets_out/leaks if not given.
        force: replace the leaks of other sets, and embed again.
        quiet: print no result.
        options: of the command, such as up_to="near".
    Returns:
        The pairs, the images to remove, and the sentence for a card.
    Raises:
        MinerError: one set without splits is named, a set cannot be read or embedded, or the workspace holds the leaks of others.

    >>> found = miner.leaks("photos/class0", "datasets_out/default", up_to="bytes", quiet=True)
    >>> len(found), len(found.remove["photos/class0"])
    (17, 17)
    """
    opened = Workspace(Path(workspace))
    result = find_leaks(
        LeaksOptions.parse({"sources": [os.fspath(place) for place in sets], **options}),
        opened,
        force=force,
        quiet=quiet,
    )
    if not quiet:
        print("\n".join(result.lines), flush=True)
    return FoundLeaks(opened)


leaks.__doc__ = f"{getdoc(leaks)}{listed(LeaksOptions)}"
