"""Mine semantic image pairs with a frozen encoder, publish them, and pretrain vision encoders on them.

    import miner

    a, b, cosine = miner.band_join(vectors, low=0.97, high=0.99)  # every pair of rows in a band, exactly
    ids, cosines = miner.nearest(vectors, k=10)                   # the exact nearest neighbours of each row
    workspace = miner.embed("photos", workspace="datasets_out/photos")
    miner.pairs(workspace, min=0.8, max=0.95)
    dataset = workspace.pair_dataset(transform)

The names in `miner.__all__` are stable; everything else may change. Each stage is a function with the options of its command:
`embed`, `calibrate`, `pairs`, `export`, `publish`, `train`, `refine`, `eval_knn`, `eval_linear`, `eval_graph`,
`eval_finetune`, `eval_transfer`, `eval_detect`, `report`, `review`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature

    from miner.api.arrays import band_join, nearest
    from miner.api.opened import OpenedWorkspace
    from miner.api.opened import open_workspace as open
    from miner.api.pair_dataset import PairDataset, PairShards
    from miner.api.pair_table import PairTable
    from miner.api.similar import SimilarImages, similar
    from miner.api.stages import StageFunction
    from miner.errors import MinerError
    from miner.leaks.found import FoundLeaks, leaks

    embed: StageFunction
    calibrate: StageFunction
    pairs: StageFunction
    export: StageFunction
    publish: StageFunction
    train: StageFunction
    refine: StageFunction
    eval_knn: StageFunction
    eval_linear: StageFunction
    eval_graph: StageFunction
    eval_finetune: StageFunction
    eval_transfer: StageFunction
    eval_detect: StageFunction
    report: StageFunction
    review: StageFunction

__version__ = "0.1.0"

# Every stable name.
__all__ = [
    "FoundLeaks",
    "MinerError",
    "OpenedWorkspace",
    "PairDataset",
    "PairShards",
    "PairTable",
    "SimilarImages",
    "band_join",
    "calibrate",
    "embed",
    "eval_detect",
    "eval_finetune",
    "eval_graph",
    "eval_knn",
    "eval_linear",
    "eval_transfer",
    "export",
    "leaks",
    "nearest",
    "open",
    "pairs",
    "publish",
    "refine",
    "report",
    "review",
    "similar",
    "train",
]

_WHERE = {
    "band_join": "miner.api.arrays:band_join",
    "nearest": "miner.api.arrays:nearest",
    "similar": "miner.api.similar:similar",
    "SimilarImages": "miner.api.similar:SimilarImages",
    "open": "miner.api.opened:open_workspace",
    "OpenedWorkspace": "miner.api.opened:OpenedWorkspace",
    "PairTable": "miner.api.pair_table:PairTable",
    "PairDataset": "miner.api.pair_dataset:PairDataset",
    "PairShards": "miner.api.pair_dataset:PairShards",
    "MinerError": "miner.errors:MinerError",
    "FoundLeaks": "miner.leaks.found:FoundLeaks",
}
# The names that are packages too.
_CALLED = ("embed", "pairs", "export", "publish", "train", "refine", "report", "review", "leaks")


class _Callable(ModuleType):
    """The package of a stage, or of `leaks`. A call runs it: `miner.pairs(workspace, neighbors=10)`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._function(*arguments, **options)

    @property
    def _function(self) -> Any:
        return _function(self.__name__.rpartition(".")[2])

    @property
    def __signature__(self) -> "Signature":
        found: Signature = import_module("inspect").signature(self._function)
        return found

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return str(self._function.__doc__)


class _Package(ModuleType):
    """This package, which makes the packages of stages callable as they are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED and type(value) is ModuleType:
            value.__class__ = _Callable
        super().__setattr__(name, value)


def _function(name: str) -> Any:
    if name == "leaks":
        return import_module("miner.leaks.found").leaks
    return import_module("miner.api.stages").stage_function(name.replace("eval_", "eval "))


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        module, _, attribute = _WHERE[name].partition(":")
        return getattr(import_module(module), attribute)
    if name in _CALLED:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        return _function(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__doc__", "__version__", *__all__]


sys.modules[__name__].__class__ = _Package
