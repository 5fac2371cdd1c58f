"""What every stage's options say of themselves, beside their types."""

import pytest

from miner.errors import UsageError
from miner.options import PANELS, Options, details_of, flag_name, option
from miner.pairs.options import PairsOptions
from miner.stages import STAGES
from miner.train.settings.options import TrainOptions

REQUIRED = {
    "embed": {"source": "sample"},
    "train": {"decay_on": "weights", "partners": 1},
    "pairs": {"rule": "band"},
    "eval transfer": {"sets": ["sample"]},
    "eval detect": {"train": ["VOC2007:trainval"], "test": ["VOC2007:test"]},
}

# Old results stay valid as long as these sets stay as they are: an option may move to neither without a reason.
EVALUATE = {"run", "best", "teacher", "embeddings", "device", "workers"}
NOT_IN_REQUEST = {
    "embed": {"batch_size", "device", "workers", "max_errors", "engine_address"}
    | {"vectors", "keys", "vector_column", "key_column"},
    "calibrate": {"batch_size", "device"},
    "pairs": {
        "rule",
        "metadata",
        "agree",
        "at_least",
        "local",
        "shared",
        "min",
        "max",
        "auto",
        "device",
        "memory",
        "append",
        "against",
        "engine_address",
        "max_pairs",
        "table",
        "table_columns",
    }
    | {"engine", "recall", "nlist", "nprobe", "links", "ef_construction", "ef_search"},
    "export": {"exclude", "retrieved", "to", "workers", "engine_address"},
    "publish": {"to", "private", "dry_run"},
    "train": {"name", "source", "device", "data", "workers", "checkpoint_steps", "processes", "engine_address"},
    "refine": {"device", "processes"},
    "eval knn": EVALUATE,
    "eval linear": EVALUATE,
    "eval graph": {"device", "test", "test_limit"},
    "eval finetune": EVALUATE,
    "eval transfer": EVALUATE | {"sets"},
    "eval detect": EVALUATE | {"checkpoint_steps"},
    "report": set(),
}
IF_CHANGED = {
    "embed": {"layer": "projector", "pool": "max", "draft": 2.0, "compile": True}
    | {"image_column": "photo", "label_column": "kind"},
    "pairs": {"groups": True, "both_orders": True, "most_similar": 5, "keep": "first"}
    | {"differ": ["a"], "same": ["b", "c"], "apart": ["day:3"]},
    "export": {"without_duplicates": True},
    "train": {"lr_biases": 0.1, "zero_init_residual": True, "deterministic": False}
    | {"pairs_per_class": 3, "pair_loss": "rince", "pair_loss_q": 0.1, "pair_loss_lambda": 0.5},
    "eval knn": {"layer": "projector", "test_crop": 0.875},
    "eval linear": {"test_crop": 0.875},
    "eval finetune": {"layer": "projector1"},
}
# These do not go with those above.
IF_CHANGED_ALONE = {"train": {"pair_weights": "votes"}, "embed": {"runtime": "onnxruntime"}}


def default_options(stage: str) -> Options:
    return STAGES[stage].options.parse(REQUIRED.get(stage, {}))


@pytest.mark.parametrize("stage", NOT_IN_REQUEST)
def test_request_holds_the_options_that_decide(stage: str) -> None:
    options = default_options(stage)
    absent = NOT_IN_REQUEST[stage] | IF_CHANGED.get(stage, {}).keys() | IF_CHANGED_ALONE.get(stage, {}).keys()
    assert options.request() == {name: value for name, value in options.plain().items() if name not in absent}


@pytest.mark.parametrize(("stage", "changed"), [*IF_CHANGED.items(), *IF_CHANGED_ALONE.items()])
def test_younger_options_are_in_a_request_where_changed(stage: str, changed: dict[str, object]) -> None:
    options = STAGES[stage].options.parse({**REQUIRED.get(stage, {}), **changed})
    assert options.request() == {**default_options(stage).request(), **changed}


def test_approximate_engine_is_in_the_request_with_its_options() -> None:
    exact = PairsOptions(rule="band").request()
    assert PairsOptions(engine="faiss").request() == exact
    ivf = {"engine": "ivf", "recall": 0.9, "nlist": None, "nprobe": None}
    assert PairsOptions(engine="ivf", recall=0.9).request() == exact | ivf


@pytest.mark.parametrize("stage", STAGES)
def test_options_stand_under_known_headings(stage: str) -> None:
    assert {details_of(field)["panel"] or "options" for field in STAGES[stage].options.model_fields.values()} <= {
        *PANELS
    }


def test_words_of_python_are_flags_and_keys_too() -> None:
    asked = {"method": "reco", "global": False, "pairs-arm": "none"}
    assert TrainOptions.parse(asked) == TrainOptions(method="reco", global_=False, pairs_arm="none")
    assert flag_name("global_") == "--global" and flag_name("pairs_arm") == "--pairs-arm"
    written = TrainOptions.parse(asked)
    for record in (written.plain(), written.request()):
        assert record["global"] is False and "global_" not in record
    with pytest.raises(UsageError, match="--global is not an option of moco; it belongs to reco"):
        TrainOptions.parse({"global": True})


def test_option_says_itself_what_a_flag_needs() -> None:
    class Some(Options):
        panel = "basics"

        required: str = option(..., argument=True)
        number: int = option(3, ge=1, short="-n", decides_result=False, panel="expert")

    required, number = (details_of(field) for field in Some.model_fields.values())
    assert (required["panel"], required["argument"], required["short"]) == ("basics", True, None)
    assert (number["panel"], number["argument"], number["short"]) == ("expert", False, "-n")
    assert Some.parse({"required": "a"}).request() == {"required": "a"}
    with pytest.raises(UsageError, match="--number: Input should be greater than or equal to 1"):
        Some.parse({"required": "a", "number": 0})
    with pytest.raises(UsageError, match="REQUIRED is required"):
        Some.parse({})
