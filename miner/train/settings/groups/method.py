"""Options of single methods. Each has the default of its method, and is None for the others."""

from typing import Any, Self

from pydantic import model_validator

from miner.options import Cosine, Fraction, flag_name, option
from miner.train.settings.groups.basics import BasicOptions
from miner.train.settings.method_defaults import METHOD_DEFAULTS, defaults_of


def _by_method(name: str, default: Any = None, **checks: Any) -> Any:
    """An option whose help shows the default of each method."""
    return option(default, shown_default=defaults_of(name), **checks)


class MethodOptions(BasicOptions):
    """The options of the method."""

    panel = "method"

    dim: int = _by_method("dim", METHOD_DEFAULTS["moco"].settings["dim"], ge=2)
    """Width of the projection. For dino it is the number of prototypes."""
    hidden_dim: int | None = _by_method("hidden_dim", ge=2)
    """Width of the hidden layers of the projector; moco takes the width of the backbone if none is given."""
    projector_layers: int | None = option(None, ge=1, le=3, shown_default="2")
    """Layers of the projector, for all methods but dino and graphnnclr, which have three."""
    projector_norm: bool | None = option(None, panel="expert")
    """simclr, fnc, dino, graphnnclr: batch normalisation in the projector. If not given: simclr and fnc have it; dino and
    graphnnclr have it with a ResNet. --no-projector-norm leaves it out, as the code of solo-learn and DINO does."""
    predictor_dim: int | None = _by_method("predictor_dim", ge=2)
    """Width of the hidden layer of the predictor."""
    neighbors: int | None = _by_method("neighbors", ge=1)
    """mnn: most similar keys of the queue that are mixed with a key."""
    queue_size: int | None = _by_method("queue_size", ge=1)
    """Number of features of earlier steps that are kept. moco and reco take them as negative keys, nnclr and mnn as candidates for
    the nearest neighbours. fnc has none unless it is given: then a momentum encoder makes its keys, and finds false negatives among
    them. The number is cut to whole batches and to a quarter of the images."""
    momentum: float | None = _by_method("momentum", ge=0, le=1)
    """Momentum of the momentum encoder (exponential moving average); fnc with --queue-size takes 0.999. With 0, the keys come
    from the network of the step itself. The authors of patchmix take 0 for a ViT-T, and 0.996 for larger ones."""
    momentum_grows: bool | None = option(None, panel="expert", shown_default="for byol, dino, patchmix and graphnnclr")
    """The momentum grows to 1 along half a cosine, as the authors of BYOL and DINO have it; otherwise it is constant."""
    temperature: float | None = _by_method("temperature", gt=0)
    """Temperature of the loss; a lower one puts more weight on the hardest negatives. dino: the temperature of the student."""
    loss_scale: float | None = option(None, gt=0, panel="expert")
    """barlow, byol and mnn: factor of the loss. It matters wherever the optimizer does not cancel it: always with sgd; with lars,
    for biases, normalisations and --trust-clip. barlow: of the paper's sum; if not given, 1 / --dim, and 1 with lars. byol and
    mnn: of the mean over both directions; 4 and 2 are the papers'."""
    symmetric: bool | None = option(None)
    """moco only: use both views as query and as key. A step then takes twice the work. Other methods do not take this flag."""
    teacher_temperature: float | None = _by_method("teacher_temperature", gt=0)
    """Temperature of the teacher of dino, and of reco's relations; below the student's."""
    student_temperature: float | None = _by_method("student_temperature", gt=0, panel="expert")
    """reco: temperature of the student's similarities to the queue of weak views."""
    contrast: bool | None = option(None, panel="expert")
    """reco: the contrast of moco is part of the loss. With --no-contrast --no-local, the method is ReSSL."""
    global_: bool | None = option(None)
    """reco: the similarities of a view to the queue follow those that the momentum encoder has for a weak view. --no-global leaves
    this term out."""
    local: bool | None = option(None)
    """reco: the features of an image mixed of two (CutMix) are a mixture of theirs. --no-local leaves this term out."""
    mixed_images: int | None = _by_method("mixed_images", ge=1)
    """patchmix: images whose patches are in a mixture. With 1, nothing is mixed: a control of equal work."""
    soft_targets: bool | None = option(None)
    """patchmix: the targets of a mixture are what it has in common with each image or mixture. --no-soft-targets: it counts as its
    first image alone."""
    mixed_to_mixed: bool | None = option(None)
    """patchmix: contrast mixtures with mixtures as well. --no-mixed-to-mixed leaves this term out."""
    support_views: int | None = _by_method("support_views", ge=0)
    """fnc: views of an item beside its two, which help to find false negatives and are positives too. The authors take 8."""
    attract: bool | None = option(None)
    """fnc: found false negatives are positives. With --no-attract and without --eliminate, they are only counted."""
    eliminate: bool | None = option(None)
    """fnc: found false negatives are no negatives."""
    false_negatives: int | None = _by_method("false_negatives", ge=1)
    """fnc: most views that are found for an item, those with the highest similarity."""
    false_negative_quantile: Fraction | None = _by_method("false_negative_quantile")
    """fnc: a false negative is more similar than this share of the views of other images in the step."""
    false_negative_cosine: Cosine | None = option(None)
    """fnc: a false negative has more than this cosine, instead of the quantile. The authors take 0.7; a good value depends on the
    network and on the number of views."""
    false_negative_start: int | None = _by_method("false_negative_start", ge=0)
    """fnc: epochs before found false negatives count. A network that has learnt nothing finds wrong ones."""
    teacher_warmup_temperature: float | None = _by_method("teacher_warmup_temperature", gt=0, panel="expert")
    """Temperature of dino's teacher in the first step. Lower it if the run collapses early."""
    teacher_warmup_epochs: int | None = _by_method("teacher_warmup_epochs", ge=0, panel="expert")
    """Epochs in which the temperature of dino's teacher rises to --teacher-temperature; 0 keeps it constant. The authors reach
    0.07 after 30."""
    frozen_epochs: int | None = _by_method("frozen_epochs", ge=0, panel="expert")
    """First epochs in which dino's prototypes do not learn. The authors take 1 in long runs."""
    graph_edges: int | None = _by_method("graph_edges", ge=1, panel="expert")
    """graphnnclr: edges per epoch from an image to its nearest others, in the graphs that the run keeps; training does not use
    them."""
    graph_window: int | None = _by_method("graph_window", ge=1, panel="expert")
    """graphnnclr: epochs whose neighbours are kept, and that pass before neighbours give second views. A smaller window starts
    earlier; a larger one is more reliable."""

    @model_validator(mode="after")
    def _sharpen_the_teacher(self) -> Self:
        of_student = "temperature" if self.student_temperature is None else "student_temperature"
        student = getattr(self, of_student)
        for name in ("teacher_temperature", "teacher_warmup_temperature"):
            teacher = getattr(self, name)
            if teacher and student and teacher >= student:
                raise ValueError(
                    f"{flag_name(name)} {teacher:g} must be below {flag_name(of_student)} {student:g}: "
                    "otherwise the teacher's targets are no sharper than the student, and all prototypes become alike"
                )
        return self

    @model_validator(mode="after")
    def _leave_a_loss(self) -> Self:
        if not any(getattr(self, name) in (None, True) for name in ("contrast", "global_", "local")):
            raise ValueError("--no-contrast, --no-global and --no-local leave no loss; keep one of the three terms")
        if self.false_negative_cosine is not None and self.false_negative_quantile is not None:
            raise ValueError("give --false-negative-cosine or --false-negative-quantile, not both")
        if self.method == "fnc" and self.queue_size is None and not self.momentum is self.momentum_grows is None:
            raise ValueError("fnc has a momentum encoder with --queue-size only; --momentum has no meaning without it")
        return self
