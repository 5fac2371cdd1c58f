"""What belongs to some methods only. Such an option has the default of its method, and is None for the others."""

from typing import Any, Self

from pydantic import Field, model_validator

from miner.options import flag_name
from miner.train.settings.groups.basics import BasicOptions
from miner.train.settings.method_defaults import METHOD_DEFAULTS, defaults_of

_EXPERT: dict[str, Any] = {"panel": "expert"}


class MethodOptions(BasicOptions):
    """The options of the method."""

    panel = "method"

    dim: int = Field(
        int(METHOD_DEFAULTS["moco"].settings["dim"]),
        ge=2,
        description=f"Width of the projection; for dino the number of prototypes. By method: {defaults_of('dim')}.",
    )
    hidden_dim: int | None = Field(
        None, ge=2, description=f"Width of the hidden layers of the projector. By method: {defaults_of('hidden_dim')}."
    )
    predictor_dim: int | None = Field(
        None,
        ge=2,
        description=f"Width of the hidden layer of the predictor. By method: {defaults_of('predictor_dim')}.",
    )
    queue_size: int | None = Field(
        None,
        ge=1,
        description="Features of earlier steps that are kept: for moco as negative keys, for nnclr as candidates for the nearest "
        f"neighbour. Cut to whole batches and to a quarter of the images. By method: {defaults_of('queue_size')}.",
    )
    momentum: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Momentum of the momentum encoder (exponential moving average). For byol and dino it grows to 1. "
        f"By method: {defaults_of('momentum')}.",
    )
    temperature: float | None = Field(
        None,
        gt=0,
        description="Temperature of the loss; a lower one puts more weight on the hardest negatives. For dino that of the "
        f"student. By method: {defaults_of('temperature')}.",
    )
    symmetric: bool | None = Field(
        None,
        description="moco: use both views as query and key, with twice the work per step; the other methods always do.",
    )
    teacher_temperature: float | None = Field(
        None,
        gt=0,
        description=f"Temperature of dino's teacher, below the student's. By method: {defaults_of('teacher_temperature')}.",
    )
    teacher_warmup_temperature: float | None = Field(
        None,
        gt=0,
        description="Temperature of dino's teacher in the first step. Lower it if the run collapses early. "
        f"By method: {defaults_of('teacher_warmup_temperature')}.",
        json_schema_extra=_EXPERT,
    )
    teacher_warmup_epochs: int | None = Field(
        None,
        ge=0,
        description="Epochs in which the temperature of dino's teacher rises to --teacher-temperature; 0 keeps it constant. The "
        f"authors reach 0.07 after 30. By method: {defaults_of('teacher_warmup_epochs')}.",
        json_schema_extra=_EXPERT,
    )
    frozen_epochs: int | None = Field(
        None,
        ge=0,
        description="First epochs in which dino's prototypes do not learn. The authors take 1 in long runs. "
        f"By method: {defaults_of('frozen_epochs')}.",
        json_schema_extra=_EXPERT,
    )
    graph_edges: int | None = Field(
        None,
        ge=1,
        description="graphnnclr: edges per epoch from an image to its nearest others, in the graphs that the run keeps; training "
        f"does not use them. By method: {defaults_of('graph_edges')}.",
        json_schema_extra=_EXPERT,
    )
    graph_window: int | None = Field(
        None,
        ge=1,
        description="graphnnclr: epochs whose neighbours are kept, and that pass before neighbours give second views. A smaller "
        f"window starts earlier; a larger one is more reliable. By method: {defaults_of('graph_window')}.",
        json_schema_extra=_EXPERT,
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
