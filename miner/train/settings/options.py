"""Options of `miner train`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from miner.options import Options, flag_name
from miner.train.settings.arms import PAIRS_ARMS, PairsArm
from miner.train.settings.method_defaults import (
    CONTRASTIVE,
    METHOD_DEFAULTS,
    METHOD_OPTIONS,
    OPTIMIZERS,
    defaults_of,
    methods_with,
)

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
_METHODS = "; ".join(f"{name}: {recipe.summary}" for name, recipe in METHOD_DEFAULTS.items())
_ARMS = "; ".join(f"{name}: {meaning}" for name, meaning in PAIRS_ARMS.items())


def is_vit(backbone: str) -> bool:
    """Whether a backbone is a vision transformer."""
    return backbone.startswith("vit_")


class TrainOptions(Options):
    """Options that belong to some methods only are filled in with the method's default, and are None for the others."""

    method: Literal["moco", "simclr", "simsiam", "byol", "vicreg", "barlow", "dino", "nnclr", "graphnnclr"] = Field(
        "moco", description=f"Self-supervised method. {_METHODS}."
    )
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$",
        description="Name of the run (letters, digits, . _ -); the method's name if not given.",
        json_schema_extra={"decides_result": False},
    )
    epochs: int = Field(
        100, ge=1, description="Passes over own-view items and semantic pairs.", json_schema_extra={"short": "-e"}
    )
    batch_size: int = Field(
        256,
        ge=2,
        description="Items per step; lowered, and said so, for few images.",
        json_schema_extra={"short": "-b"},
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="Compute a step in so many parts, one after another, when a batch does not fit into memory. Negatives and "
        "batch statistics are those of a part, so methods that live on large batches gain little.",
    )
    pairs_arm: str = Field(
        "semantic",
        description="What is trained on besides own views, to tell what helps. Every arm but none takes the steps of "
        f"semantic. {_ARMS}.",
    )
    pairs_per_anchor: int | None = Field(
        None, ge=1, description="At most so many pairs per image, the most similar first: hubs would else be seen most."
    )
    partners: int = Field(
        0,
        ge=0,
        description="Partners of an image that join its own two views in one step, as further positives, drawn anew each epoch. "
        "0 makes each pair an item of its own: more steps, each of the usual size.",
    )
    pair_weight: float = Field(
        1.0,
        gt=0,
        description="Weight of each of these --partners against 1 of the own view; below 1 for pairs that are often wrong.",
    )
    mask_known_positives: bool = Field(
        False,
        description=f"{', '.join(CONTRASTIVE)}: an image's other views and its partners are no negatives of it. Worth a try where "
        "the queue or the batch holds a good part of all images.",
    )
    backbone: Literal["resnet18", "resnet34", "resnet50", "vit_tiny", "vit_small", "vit_base"] = Field(
        "resnet18",
        description="Encoder to pretrain. A ResNet learns faster from small data; a ViT (timm's; its features are the class "
        "token) wants --optimizer adamw, warm-up and many epochs.",
    )
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto",
        description="First layers of a ResNet: cifar (3x3, no pooling) or imagenet (7x7 and pooling); auto goes by the image "
        "size.",
    )
    patch_size: int | None = Field(
        None,
        ge=1,
        description="Side in pixels of a ViT's patches. By default the power of two that makes 8 x 8 patches or more, at "
        "most 16: 4 at 32 px, 16 at 224 px. Half the side is four times the tokens and more than four times the work.",
    )
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Stochastic depth of a ViT: how often an image skips the last block; DINO uses 0.1.",
    )
    init_from: str | None = Field(
        None,
        description="Start from the backbone of a finished run (its name or folder) or of a file (.safetensors, .pt), with fresh "
        "heads and a schedule of its own. To go on with an interrupted run, just give the same command again.",
    )
    image_size: int | None = Field(
        None, ge=16, description="Side of a training view in pixels; by the images if not given."
    )
    optimizer: Literal["sgd", "lars", "adamw"] = Field(
        "sgd",
        description="sgd suits residual networks; lars keeps batches of 1,024 and more stable; adamw is for transformers. The "
        "last two come with a learning rate and a weight decay of their own, and like --warmup-epochs 10.",
    )
    augmentation: Literal["auto", "plain", "moco", "simclr", "byol", "solarise"] = Field(
        "auto",
        description="How views are made. plain: crops and colours; moco: with blur, for 96 px or more; simclr: twice the colour "
        "jitter and blur; byol: one view blurred, the other solarised at times; solarise: that without blur. auto: plain below "
        "96 px, then byol for byol, vicreg, barlow and dino, and moco for the others.",
    )
    least_area: Share | None = Field(
        None,
        description="Least share of an image that a view shows. By default 0.08, 0.2 for moco views, and with small crops 0.4 "
        "for a ViT and 0.14 for a ResNet. Higher keeps more of the object in both views.",
    )
    local_crops: int = Field(
        0,
        ge=0,
        description="dino: small crops of each item, which the student sees beside the two views and the teacher does not; the "
        "authors take 8, which is about twice the work.",
    )
    local_size: int | None = Field(
        None, ge=1, description="Side of a small crop in pixels; 3/7 of the view if not given: 96 at 224 px."
    )
    lr: float = Field(
        METHOD_DEFAULTS["moco"].lr,
        gt=0,
        description="Learning rate at batch 256; the run uses lr x batch / 256. If the loss explodes, a third of it. By "
        f"method: {defaults_of('lr')}; with lars {OPTIMIZERS['lars']['lr']:g}, with adamw {OPTIMIZERS['adamw']['lr']:g}.",
    )
    warmup_epochs: int = Field(
        0, ge=0, description="Epochs in which the learning rate rises to its peak before it falls along a cosine."
    )
    weight_decay: float = Field(
        5e-4,
        ge=0,
        description=f"Weight decay. With lars {OPTIMIZERS['lars']['weight_decay']:g}, with adamw "
        f"{OPTIMIZERS['adamw']['weight_decay']:g}.",
    )
    final_weight_decay: float | None = Field(
        None,
        ge=0,
        description="Let the weight decay move to this along a cosine, as dino does with transformers (0.4).",
    )
    decay_on: Literal["all", "weights"] = Field(
        "all",
        description="weights: neither biases nor normalisations decay, and lars leaves their steps as they are; the default "
        "with lars and adamw.",
    )
    trust_coefficient: float | None = Field(
        None,
        gt=0,
        description="lars: step of a weight over its length, before the learning rate; by default "
        f"{OPTIMIZERS['lars']['trust_coefficient']:g}. solo-learn takes 0.02 with --trust-clip.",
    )
    trust_clip: bool = Field(
        False, description="lars: never let a weight's rate exceed the learning rate; for a large --trust-coefficient."
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        description="Shorten a gradient (of all parameters together) that is longer than this; 3 for transformers.",
    )
    momentum: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Of the momentum encoder (exponential moving average); byol and dino let it grow to 1. "
        f"By default {defaults_of('momentum')}.",
    )
    temperature: float | None = Field(
        None,
        gt=0,
        description="Of the loss: lower looks at the hardest negatives; dino: of the student. "
        f"By default {defaults_of('temperature')}.",
    )
    teacher_temperature: float | None = Field(
        None,
        gt=0,
        description=f"Of dino's teacher, below the student's. By default {defaults_of('teacher_temperature')}.",
    )
    teacher_warmup_temperature: float | None = Field(
        None,
        gt=0,
        description="What the temperature of dino's teacher starts from; lower if a collapse comes early. "
        f"By default {defaults_of('teacher_warmup_temperature')}.",
    )
    teacher_warmup_epochs: int | None = Field(
        None,
        ge=0,
        description="Epochs until the teacher's temperature is reached; 0 keeps it constant. The authors end at 0.07 after 30. "
        f"By default {defaults_of('teacher_warmup_epochs')}.",
    )
    frozen_epochs: int | None = Field(
        None,
        ge=0,
        description="First epochs in which dino's prototypes do not learn; 1 for the authors, in long runs. "
        f"By default {defaults_of('frozen_epochs')}.",
    )
    queue_size: int | None = Field(
        None,
        ge=1,
        description="moco: negative keys kept; nnclr: candidates for the neighbour. Cut to whole batches and a quarter of the "
        f"images. By default {defaults_of('queue_size')}.",
    )
    dim: int = Field(
        int(METHOD_DEFAULTS["moco"].settings["dim"]),
        ge=2,
        description=f"Width of the projection; dino: prototypes. By method: {defaults_of('dim')}.",
    )
    hidden_dim: int | None = Field(
        None, ge=2, description=f"Width inside the projector. By default {defaults_of('hidden_dim')}."
    )
    predictor_dim: int | None = Field(
        None, ge=2, description=f"Width inside the predictor. By default {defaults_of('predictor_dim')}."
    )
    graph_edges: int | None = Field(
        None,
        ge=1,
        description="graphnnclr: edges from an image to its nearest others, per epoch, in graphs that are kept beside the run; "
        f"training does not use them. By default {defaults_of('graph_edges')}.",
    )
    graph_window: int | None = Field(
        None,
        ge=1,
        description="graphnnclr: epochs whose neighbours are kept, and that pass before they give second views. Fewer bring "
        f"neighbours in earlier, more are surer of them. By default {defaults_of('graph_window')}.",
    )
    graph_prior: bool | None = Field(
        None,
        description="graphnnclr: take the pairs for known neighbours from the first epoch on, instead of as items of their own.",
    )
    symmetric: bool | None = Field(
        None,
        description="moco: use both views as query and key (twice the work per step); the other methods always do.",
    )
    source: str | None = Field(
        None,
        description="Train on the images of a source as `miner embed` takes it, without embeddings, with --pairs-arm none: the "
        "encoder of a first round, which no label and no other image has touched.",
        json_schema_extra={"decides_result": False},
    )
    limit: int | None = Field(
        None, ge=2, description="Train on the first so many images only (and the pairs among them)."
    )
    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1, mps.",
        json_schema_extra={"decides_result": False},
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share each batch: one per GPU. They train what one would, up to rounding. torchrun "
        "--nproc-per-node N -m miner train ... does the same, also on several machines.",
        json_schema_extra={"decides_result": False},
    )
    engine_address: str | None = Field(
        None,
        description="Run the processes on a Ray cluster: auto, or ray://HOST:PORT (extra `ray`). All machines must see the "
        "workspace under the same path.",
        json_schema_extra={"decides_result": False},
    )
    sync_norm: bool = Field(
        True,
        description="Several processes normalise over the whole batch, as one does, not each over its part: off saves "
        "exchanges, and costs most methods accuracy. moco always normalises parts of the batch apart.",
    )
    data: Literal["auto", "memory", "stream"] = Field(
        "auto",
        description="memory: decode every image once, before the first step; stream: leave images in their files and decode "
        "those of a step ahead of it, for data sets larger than memory; auto: memory if they take at most half of what is "
        "free. The result is the same, byte for byte.",
        json_schema_extra={"decides_result": False},
    )
    workers: int = Field(
        0,
        ge=0,
        description="Threads that decode images; 0 means one per core, at most 8.",
        json_schema_extra={"decides_result": False},
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto is bf16 where the device has it natively."
    )
    compile: bool = Field(
        False,
        description="Let torch.compile make one program of the backbone: minutes of compiling, then faster steps, with slightly "
        "other numbers. For long runs.",
    )
    checkpoint_steps: int = Field(
        500,
        ge=1,
        description="Most steps between checkpoints; a rerun continues from the last.",
        json_schema_extra={"decides_result": False},
    )
    knn_epochs: int = Field(
        0,
        ge=0,
        description="Measure kNN accuracy every so many epochs and at the end, for labelled images; 0: never. The best weights are "
        "kept as backbone-best.safetensors, but their accuracy is optimistic, chosen on the images that measure it: report the "
        "last. Costs a forward pass over the images each time; 10 is a good start.",
    )
    seed: int = Field(0, description="Seed of weights, order and augmentations.")

    @property
    def run_name(self) -> str:
        """Name of the run."""
        return self.name or self.method

    @property
    def pairs_are_items(self) -> bool:
        """Whether a pair is trained on as an item of its own."""
        return not (self.partners or self.graph_prior)

    @model_validator(mode="before")
    @classmethod
    def _take_the_methods_defaults(cls, values: Any) -> Any:
        method = values.get("method", "moco") if isinstance(values, dict) else None
        if not isinstance(method, str) or method not in METHOD_DEFAULTS:
            return values
        recipe = METHOD_DEFAULTS[method]
        given = {name: value for name, value in values.items() if value is not None or name not in METHOD_OPTIONS}
        for name in METHOD_OPTIONS:
            if name in given and name not in recipe.settings:
                raise ValueError(
                    f"{flag_name(name)} is not an option of {method}; it belongs to {', '.join(methods_with(name))}"
                )
        return {**recipe.defaults, **OPTIMIZERS.get(str(given.get("optimizer", "sgd")), {}), **given}

    @field_validator("pairs_arm")
    @classmethod
    def _name_the_arm(cls, text: str) -> str:
        return PairsArm.parse(text).name

    @model_validator(mode="after")
    def _check_how_pairs_are_used(self) -> Self:
        for name in ("pairs_per_anchor", "partners", "graph_prior"):
            if getattr(self, name) and not PairsArm.parse(self.pairs_arm).reads_pairs:
                raise ValueError(f"{flag_name(name)} has no meaning with --pairs-arm none")
        if self.pair_weight != 1.0 and not self.partners:
            raise ValueError("--pair-weight belongs to --partners: pairs that are items of their own all count alike")
        if self.partners and not METHOD_DEFAULTS[self.method].pairwise:
            raise ValueError(
                f"--partners is not for {self.method}, whose loss is of a whole batch and not of single pairs; leave it at 0"
            )
        if self.mask_known_positives and self.method not in CONTRASTIVE:
            raise ValueError(f"--mask-known-positives is for {', '.join(CONTRASTIVE)}: {self.method} has no negatives")
        return self

    @model_validator(mode="after")
    def _fit_the_backbone(self) -> Self:
        if is_vit(self.backbone) and self.stem != "auto":
            raise ValueError(f"--stem is of ResNets; {self.backbone} takes --patch-size")
        if not is_vit(self.backbone) and (self.patch_size is not None or self.drop_path):
            raise ValueError(f"--patch-size and --drop-path are of ViTs; {self.backbone} takes --stem")
        return self

    @model_validator(mode="after")
    def _source_has_no_pairs(self) -> Self:
        if self.source is not None and self.pairs_arm != "none":
            raise ValueError(
                "--source has images and no pairs: add --pairs-arm none, or leave it out to train on the workspace's"
            )
        return self

    @model_validator(mode="after")
    def _give_crops_to_dino(self) -> Self:
        if self.method != "dino" and (self.local_crops or self.local_size):
            raise ValueError(f"--local-crops and --local-size are not options of {self.method}; they belong to dino")
        if self.local_size and not self.local_crops:
            raise ValueError("--local-size has no meaning without --local-crops")
        return self

    @model_validator(mode="after")
    def _sharpen(self) -> Self:
        for name in ("teacher_temperature", "teacher_warmup_temperature"):
            teacher = getattr(self, name)
            if teacher and self.temperature and teacher >= self.temperature:
                raise ValueError(
                    f"{flag_name(name)} {teacher:g} must be below --temperature {self.temperature:g}: "
                    "otherwise the teacher's targets are no sharper than the student, and all prototypes become alike"
                )
        if self.optimizer != "lars" and (self.trust_coefficient or self.trust_clip):
            raise ValueError("--trust-coefficient and --trust-clip belong to --optimizer lars")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"--warmup-epochs {self.warmup_epochs} must be below --epochs {self.epochs}")
        return self
