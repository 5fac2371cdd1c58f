"""All stages by name: their options, and the function that does the work."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.engine import Result
from miner.errors import MinerError
from miner.evaluate.detect_options import DetectOptions
from miner.evaluate.network_options import FinetuneOptions, TransferOptions
from miner.evaluate.options import KnnOptions, LinearOptions
from miner.export.options import ExportOptions
from miner.options import Options
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.publish.options import PublishOptions
from miner.refine.options import GraphOptions, RefineStageOptions
from miner.report.options import ReportOptions
from miner.review.options import ReviewOptions
from miner.source.location import canonical
from miner.train.settings.options import TrainOptions


@dataclass(frozen=True)
class StageCommand:
    """A stage as the command line and recipes know it.

    Attributes:
        target: "module:function", imported only when it runs, so that `miner --help` stays quick.
        options: the class of its options, whose docstring is the help.
        parallel: whether several processes that torchrun starts work on it together.
        writes, reads: the folders of the workspace. `{run}` stands for the name of the run, `images` for what a run is trained on.
            A stage that writes none only looks, and runs beside any other.
        refined: the target instead, for options with `refined`; None for a stage that evaluates no run.
        test_images: "module:function" that names labelled images, as options of `embed`. They are embedded into `test/` before
            the stage runs, with the other options of the embedded images. None for a stage without test images.
    """

    target: str
    options: type[Options]
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    parallel: bool = False
    refined: str | None = None
    test_images: str | None = None

    def run(self, options: Options, workspace: Workspace, force: bool) -> Result:
        """Do the work in a workspace; `force` replaces what an earlier, different request made."""
        if self.test_images is not None and (images := load(self.test_images)(options, workspace)) is not None:
            _embed_like_others(images, workspace, force)
        target = self.refined if self.refined and getattr(options, "refined", False) else self.target
        result: Result = load(target)(options, workspace, force=force)
        return result

    def folders(self, options: Options, workspace: Workspace) -> tuple[list[str], list[str]]:
        """The folders that the stage writes, and those that it reads: the locks that it needs."""
        latest, run = workspace.latest_run(), options.run_name or getattr(options, "run", None)
        run = run or (latest.name if latest else None)
        no_run = any(getattr(options, name, None) for name in ("refined", "embeddings", "network"))
        if "eval" in self.writes and run and not no_run:
            return [f"runs/{run}/eval"], [f"runs/{run}", *dict.fromkeys(["embeddings", *_images(workspace)])]
        if getattr(options, "against", None) is not None:
            return ["against"], ["embeddings"]
        reads = [name for read in self.reads for name in (_images(workspace) if read == "images" else [read])]
        return [name.format(run=run) for name in self.writes], reads

    def evaluates_run(self, values: Mapping[str, Any]) -> bool:
        """Whether these options ask for a run: in a recipe, the one that was trained before."""
        return self.refined is not None and not (values.get("refined") or values.get("embeddings"))


def _images(workspace: Workspace) -> list[str]:
    """The folders of the images and pairs of a run: the shards if there are any."""
    return ["shards"] if (workspace.shards / "manifest.json").exists() else ["embeddings", "pairs"]


def _embed_like_others(images: Mapping[str, Any], workspace: Workspace, force: bool) -> None:
    """Embed test images into `test/`, with the options that the images of the workspace were embedded with.

    Raises:
        MinerError: the vectors of the workspace existed before, so no encoder is known; and there are none of the test images.
    """
    embeddings = EmbeddingsManifest.read(workspace)
    if embeddings.request.vectors_files is not None:
        return _require_test_vectors(str(images["source"]), workspace, embeddings)
    embed, asked = STAGES["embed"], embeddings.asked
    same = {name: asked[name] for name in embed.options.model_fields if name in asked}
    embed.run(embed.options.parse({**same, **images}), workspace.test, force)


def _require_test_vectors(source: str, workspace: Workspace, embeddings: EmbeddingsManifest) -> None:
    found = EmbeddingsManifest.find(workspace.test)
    named = found is not None and found.source.spec in (source, canonical(source))
    if found is None or not named or found.request.vectors_files is None or found.dim != embeddings.dim:
        raise MinerError(
            f"The vectors of {workspace.root} existed before, so miner cannot encode test images alike. Encode {source} with the "
            f"same encoder, and take its vectors first: miner embed {source} --vectors PATH -w {workspace.test.root}"
        )


_REFINED = "miner.refine.comparison.evaluate_refined"
_TEST_IMAGES = f"{_REFINED}:test_images_of_refined"
_EVAL = (("eval", "test"), ("embeddings",))  # of a run, `folders` names its own
STAGES = {
    "embed": StageCommand("miner.embed.run:embed", EmbedOptions, ("embeddings",)),
    "calibrate": StageCommand(
        "miner.pairs.calibration.run:calibrate", CalibrateOptions, ("calibration",), ("embeddings",)
    ),
    "pairs": StageCommand("miner.pairs.run:pairs", PairsOptions, ("pairs", "calibration"), ("embeddings",)),
    "export": StageCommand("miner.export.run:export", ExportOptions, ("shards",), ("embeddings", "pairs")),
    "publish": StageCommand(
        "miner.publish.run:publish", PublishOptions, ("publish",), ("embeddings", "pairs", "shards")
    ),
    "train": StageCommand("miner.train.run:train", TrainOptions, ("runs/{run}",), ("images",), parallel=True),
    "refine": StageCommand("miner.refine.run:refine", RefineStageOptions, ("refined",), ("embeddings",), parallel=True),
    "eval knn": StageCommand(
        "miner.downstream.run:knn_beside_encoder",
        KnnOptions,
        *_EVAL,
        refined=f"{_REFINED}:knn_of_refined",
        test_images=_TEST_IMAGES,
    ),
    "eval linear": StageCommand(
        "miner.downstream.run:linear_beside_encoder",
        LinearOptions,
        *_EVAL,
        refined=f"{_REFINED}:linear_of_refined",
        test_images=_TEST_IMAGES,
    ),
    "eval graph": StageCommand(
        "miner.refine.comparison.run:eval_graph",
        GraphOptions,
        ("graph", "test"),
        ("embeddings",),
        test_images="miner.refine.comparison.run:test_images",
    ),
    "eval finetune": StageCommand("miner.downstream.run:finetune", FinetuneOptions, *_EVAL),
    "eval transfer": StageCommand("miner.downstream.run:transfer", TransferOptions, *_EVAL),
    "eval detect": StageCommand("miner.downstream.detect.run:detect", DetectOptions, *_EVAL),
    "review": StageCommand("miner.review.run:review", ReviewOptions),
    "report": StageCommand("miner.report.run:report", ReportOptions),
}


def load(target: str) -> Callable[..., Any]:
    """The function behind "module:function"."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
