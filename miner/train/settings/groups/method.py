"""What belongs to some methods only. Such an option has the default of its method, and is None for the others."""

from typing import Self

from pydantic import model_validator

from miner.options import flag_name, option
from miner.train.settings.groups.basics import BasicOptions
from miner.train.settings.method_defaults import METHOD_DEFAULTS, defaults_of


class MethodOptions(BasicOptions):
    """The options of the method."""

    panel = "method"

    dim: int = option(
        int(METHOD_DEFAULTS["moco"].settings["dim"]),
        f"Width of the projection; for dino the number of prototypes. By method: {defaults_of('dim')}.",
        ge=2,
    )
    hidden_dim: int | None = option(
        None, f"Width of the hidden layers of the projector. By method: {defaults_of('hidden_dim')}.", ge=2
    )
    predictor_dim: int | None = option(
        None, f"Width of the hidden layer of the predictor. By method: {defaults_of('predictor_dim')}.", ge=2
    )
    queue_size: int | None = option(
        None,
        "Features of earlier steps that are kept: for moco as negative keys, for nnclr as candidates for the nearest "
        f"neighbour. Cut to whole batches and to a quarter of the images. By method: {defaults_of('queue_size')}.",
        ge=1,
    )
    momentum: float | None = option(
        None,
        "Momentum of the momentum encoder (exponential moving average). For byol and dino it grows to 1. "
        f"By method: {defaults_of('momentum')}.",
        ge=0,
        le=1,
    )
    temperature: float | None = option(
        None,
        "Temperature of the loss; a lower one puts more weight on the hardest negatives. For dino that of the "
        f"student. By method: {defaults_of('temperature')}.",
        gt=0,
    )
    symmetric: bool | None = option(
        None, "moco: use both views as query and key, with twice the work per step; the other methods always do."
    )
    teacher_temperature: float | None = option(
        None,
        f"Temperature of dino's teacher, below the student's. By method: {defaults_of('teacher_temperature')}.",
        gt=0,
    )
    teacher_warmup_temperature: float | None = option(
        None,
        "Temperature of dino's teacher in the first step. Lower it if the run collapses early. "
        f"By method: {defaults_of('teacher_warmup_temperature')}.",
        gt=0,
        panel="expert",
    )
    teacher_warmup_epochs: int | None = option(
        None,
        "Epochs in which the temperature of dino's teacher rises to --teacher-temperature; 0 keeps it constant. The "
        f"authors reach 0.07 after 30. By method: {defaults_of('teacher_warmup_epochs')}.",
        ge=0,
        panel="expert",
    )
    frozen_epochs: int | None = option(
        None,
        "First epochs in which dino's prototypes do not learn. The authors take 1 in long runs. "
        f"By method: {defaults_of('frozen_epochs')}.",
        ge=0,
        panel="expert",
    )
    graph_edges: int | None = option(
        None,
        "graphnnclr: edges per epoch from an image to its nearest others, in the graphs that the run keeps; training "
        f"does not use them. By method: {defaults_of('graph_edges')}.",
        ge=1,
        panel="expert",
    )
    graph_window: int | None = option(
        None,
        "graphnnclr: epochs whose neighbours are kept, and that pass before neighbours give second views. A smaller "
        f"window starts earlier; a larger one is more reliable. By method: {defaults_of('graph_window')}.",
        ge=1,
        panel="expert",
    )

    @model_validator(mode="after")
    def _sharpen_the_teacher(self) -> Self:
        for name in ("teacher_temperature", "teacher_warmup_temperature"):
            teacher = getattr(self, name)
            if teacher and self.temperature and teacher >= self.temperature:
                raise ValueError(
                    f"{flag_name(name)} {teacher:g} must be below --temperature {self.temperature:g}: "
                    "otherwise the teacher's targets are no sharper than the student, and all prototypes become alike"
                )
        return self
