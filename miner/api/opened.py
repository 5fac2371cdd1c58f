"""A workspace, opened from Python."""

import os
from collections.abc import Callable
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.api.pair_table import PairTable
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError

if TYPE_CHECKING:
    from miner.api.pair_dataset import PairDataset


class OpenedWorkspace:
    """What the stages have made in a folder. Everything is read when it is first asked for.

    Attributes:
        path: the folder.

    >>> workspace = miner.open("datasets_out/default")
    >>> workspace.embeddings.vectors.shape, len(workspace.embeddings.keys), workspace.embeddings.labels.dtype.name
    ((40, 1280), 40, 'int64')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._workspace = Workspace(path)

    @cached_property
    def embeddings(self) -> EmbeddingStore:
        """`.vectors` (n, d) float16 or float32, `.keys`, `.labels` int64 (n,) or None, and `.metadata`, a table.

        Raises:
            MinerError: nothing is embedded here, or a file is damaged.
        """
        return EmbeddingStore(self._workspace)

    @cached_property
    def pairs(self) -> PairTable:
        """The mined pairs, with paths, similarities, and the verdict of reviewers.

        Raises:
            MinerError: there are no pairs here, they belong to other embeddings, or a file is damaged.
        """
        return PairTable(self._workspace)

    @property
    def runs(self) -> list[str]:
        """The names of the training runs."""
        return [folder.name for folder in self._workspace.runs()]

    def pair_dataset(
        self, transform: Callable[[Any], Any] | None = None, *, own_views: float = 0.0, seed: int = 0
    ) -> "PairDataset":
        """The pairs as a map-style data set of torch: see `PairDataset`.

        Raises:
            MinerError: as for `pairs`, or `own_views` is no share.
        """
        from miner.api.pair_dataset import PairDataset

        return PairDataset(self.pairs, transform, own_views=own_views, seed=seed)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"<miner workspace {self.path}>"

    def _repr_html_(self) -> str:
        made = [name for name in ("embeddings", "pairs", "shards", "report") if getattr(self._workspace, name).exists()]
        text = f"{self.path}: {', '.join([*made, *(f'run {name}' for name in self.runs)]) or 'empty'}"
        try:
            gallery = self.pairs._repr_html_() if "pairs" in made else ""
        except MinerError as error:  # a stage was interrupted: the page says so
            gallery = f"<p>{escape(str(error))}</p>"
        return f"<p>{escape(text)}</p>{gallery}"

    def read_again(self) -> "OpenedWorkspace":
        """This workspace, after a stage has replaced files. Stages that are called with it do so."""
        for name in ("embeddings", "pairs"):
            self.__dict__.pop(name, None)
        return self


def open_workspace(path: "str | os.PathLike[str]") -> OpenedWorkspace:
    """Open a workspace that `miner` has made; it is `miner.open`.

    Args:
        path: its folder.
    Raises:
        MinerError: there is no such folder.

    >>> miner.open("datasets_out/default")
    <miner workspace datasets_out/default>
    """
    folder = Path(path)
    if not folder.is_dir():
        raise MinerError(
            f"There is no workspace {folder}. Make one: `miner embed SOURCE -w {folder}`, or in Python "
            f"miner.embed(SOURCE, workspace={str(folder)!r})."
        )
    return OpenedWorkspace(folder)
