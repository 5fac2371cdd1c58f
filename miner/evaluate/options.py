"""Options of `miner eval`."""

from typing import Literal, Self

from pydantic import model_validator

from miner.artifacts.runs.labelled import TEST_FRACTION
from miner.options import Fraction, Options, flag_name, option

WITH_REFINED = {"refined", "test", "limit", "device"}
AUGMENTED_ONLY = ("epochs", "schedule", "seed")


class EvaluateOptions(Options):
    """Options of every evaluation: weights and labelled images."""

    panel = "basics"

    run: str | None = option(None, argument=True, decides_result=False)
    """Name of the run. If not given: the latest run."""
    best: bool = option(False, decides_result=False)
    """Evaluate the weights with the best kNN accuracy of `miner train --knn-epochs`, instead of the last weights. If the same
    test images chose them, the accuracy is optimistic. Both results are kept."""
    teacher: bool = option(False, decides_result=False)
    """Evaluate the teacher of dino or graphnnclr, or the key encoder of patchmix, as the authors do. Both results are kept."""
    gallery: str | None = option(None)
    """Labelled images that vote, as a source. If not given: the images of the workspace."""
    test: str | None = option(None)
    """Labelled images to classify, as a source. If not given: the test set of a built-in source, or else a held-out part of the
    gallery."""
    test_fraction: Fraction = option(TEST_FRACTION, gt=0, lt=1)
    """Share of the gallery to hold out if there is no test set."""
    test_crop: float = option(1.0, gt=0, le=1, decides_result="if changed")
    """Side of the centre crop over the short side of an image. 0.875 is the protocol of papers at 224 px: resize to 256, crop
    224. 1: the whole central square."""
    limit: int | None = option(None, ge=2)
    """Use only this many images of each source, chosen by key."""
    embeddings: bool = option(False, decides_result=False)
    """Evaluate the vectors of `miner embed` themselves, instead of a run. The embedded images are the gallery. So it is without
    this option where no run has finished."""
    refined: bool = option(False)
    """Evaluate the features of `miner refine` and the raw ones, instead of a run. The result compares the three ways to bring
    test images into the graph (inductive, transductive, as-code). The embedded images are the gallery, --test is classified,
    and --limit takes the first test images."""
    batch_size: int = option(256, ge=1, panel="processes", short="-b")
    """Images per forward pass."""
    device: str = option("auto", panel="processes", decides_result=False)
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps."""
    workers: int = option(0, ge=0, panel="processes", decides_result=False)
    """Threads that decode images. 0: one per core."""

    @property
    def weights(self) -> Literal["last", "best", "teacher"]:
        """Which weights of the run are evaluated."""
        return "teacher" if self.teacher else "best" if self.best else "last"

    @model_validator(mode="after")
    def _choose_one(self) -> Self:
        if self.best and self.teacher:
            raise ValueError("--best and --teacher name two networks. Give one of them")
        return self

    @property
    def of_a_run(self) -> bool:
        """Whether an option has no meaning but for a run, or for images that are not the workspace's own."""
        return bool(self.run or self.best or self.teacher or self.gallery or self.test_crop != 1)

    @model_validator(mode="after")
    def _refuse_what_embeddings_have_not(self) -> Self:
        if self.embeddings and (self.of_a_run or self.refined):
            raise ValueError(
                "--embeddings evaluates the embedded images, so it takes no RUN, --best, --teacher, --gallery, --test-crop, "
                "--refined, --layer projector or --mode augmented"
            )
        return self

    @model_validator(mode="after")
    def _refuse_what_refined_has_not(self) -> Self:
        if self.refined and (foreign := sorted(self.model_fields_set - WITH_REFINED)):
            name = "RUN" if foreign[0] == "run" else flag_name(foreign[0])
            raise ValueError(
                f"{name} has no meaning with --refined, which evaluates the embedded images and takes "
                "--test, --limit and --device only"
            )
        return self


class KnnOptions(EvaluateOptions):
    """Classify test images by a vote of their nearest neighbours, on frozen features.

    Images need labels: class folders, or a --gallery that has them. The result compares the trained backbone with random weights,
    for k = 200 and k = 20. Test images choose no setting.
    """

    layer: Literal["backbone", "projector"] = option("backbone", decides_result="if changed")
    """Features that vote: those of the backbone, or the output of the projector on top of it, as in MoCo's CIFAR demo."""

    @property
    def of_a_run(self) -> bool:
        return super().of_a_run or self.layer == "projector"

    @model_validator(mode="after")
    def _take_the_students_projector(self) -> Self:
        if self.layer == "projector" and self.weights != "last":
            raise ValueError(
                f"--layer projector has no meaning with --{self.weights}: a run keeps its last projector alone"
            )
        return self


class LinearOptions(EvaluateOptions):
    """Train a linear classifier on frozen features, and classify test images.

    The learning rate, or the penalty, is chosen on held-out training images. The two modes keep their results beside each other.
    """

    gallery: str | None = option(None)
    """Labelled images that train the linear classifier, as a source. If not given: the images of the workspace."""
    mode: Literal["fast", "augmented"] = option("fast")
    """fast: logistic regression on features that are computed once. This mode takes minutes, and suits comparisons of runs.
    augmented: the published protocol, SGD over random crops. This mode takes --epochs forward passes, and suits comparisons
    with papers."""
    validation_fraction: Fraction = option(0.1, gt=0, lt=1)
    """Share of the gallery, chosen by key, on which the learning rate or the L2 penalty is chosen. Test images choose
    nothing."""
    epochs: int = option(100, ge=1, panel="augmented mode", short="-e")
    """Passes over the gallery."""
    schedule: Literal["cosine", "step"] = option("cosine", panel="augmented mode")
    """The learning rate falls along a cosine, or by a factor of 10 after 60 % and after 80 % of the steps."""
    seed: int = option(0, panel="augmented mode")
    """Seed of the order of the images and of the crops."""

    @property
    def of_a_run(self) -> bool:
        return super().of_a_run or self.mode == "augmented"

    @model_validator(mode="after")
    def _refuse_what_fast_has_not(self) -> Self:
        for name in AUGMENTED_ONLY:
            if self.mode == "fast" and name in self.model_fields_set:
                raise ValueError(f"{flag_name(name)} belongs to --mode augmented; the fast mode has no such setting")
        return self
