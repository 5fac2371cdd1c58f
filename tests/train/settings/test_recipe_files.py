"""The files in pipelines/recipes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from miner.images.augment.settings import AUGMENTATIONS
from miner.options import read_yaml
from miner.train.settings.choices import choose_crops, choose_patch_size, choose_stem, peak_lr
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions

FOLDER = Path(__file__).parents[3] / "pipelines/recipes"
FILES = sorted(FOLDER.glob("*/*.yaml"))
FACTS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "recipe_facts.yaml").read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recipe_is_what_it_says(path: Path) -> None:
    values = read_yaml(path)
    options = TrainOptions.parse(values)
    assert path.stem.startswith(options.method)
    assert {name: getattr(options, name) for name in values} == values  # nothing is rounded or replaced
    size = options.image_size
    assert size is not None and options.pairs_arm == "none"
    stem = None if options.is_vit else choose_stem(options.stem, size)
    patch_size = choose_patch_size(options.patch_size, size) if stem is None else None
    assert choose_crops(options, size, stem, patch_size)["augmentation"] == values["augmentation"]

    text = path.read_text()
    assert max(map(len, text.splitlines())) <= 132
    for said in ("# Source: ", "# Published: ", "# Deviations: "):
        assert said in text
    evaluation = re.findall(r"^# Evaluate: miner eval linear (.+)$", text, re.M)
    teacher = " --teacher" * ("`miner eval --teacher`" in text)
    assert evaluation == [f"--mode augmented --test-crop 0.875{teacher}"] * (size == 224)
    lr, batch, peak = map(float, re.findall(r"^# Peak learning rate: (\S+) x (\d+)/256 = (\S+)$", text, re.M)[0])
    assert lr == options.lr and batch == options.batch_size
    assert peak_lr(options.lr, options.batch_size) == pytest.approx(peak)


def _named(fact: dict[str, Any]) -> list[str]:
    return fact["recipe"] if isinstance(fact["recipe"], list) else [fact["recipe"]]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{_named(fact)[0]}-{Path(fact['file']).name}")
def test_a_recipe_has_the_settings_of_its_source(fact: dict[str, Any]) -> None:
    assert fact.keys() <= {"recipe", "source", "file", "commit", "facts", "views"}
    for name in _named(fact):
        path = FOLDER / f"{name}.yaml"
        options = TrainOptions.parse(read_yaml(path))
        header = " ".join(path.read_text().partition("# Published: ")[0].replace("#", " ").split())
        assert fact["source"] in header and str(fact["commit"]) in header and Path(fact["file"]).stem in header
        settings = fact.get("facts", {})
        assert {setting: getattr(options, setting) for setting in settings} == settings
        if expected := fact.get("views"):
            views = AUGMENTATIONS[options.augmentation]
            found = {"area": options.least_area or views.area[0], "jitter": list(views.jitter)}
            assert {**found, "blur": list(views.blur), "solarise": list(views.solarise)} == expected


def test_every_recipe_has_facts() -> None:
    assert {name for fact in FACTS for name in _named(fact)} == {f"{path.parent.name}/{path.stem}" for path in FILES}


def test_every_method_has_its_settings_spelt_out() -> None:
    for path in FILES:
        values = read_yaml(path)
        optional = {"teacher_warmup_temperature", "teacher_warmup_epochs", "frozen_epochs", "false_negative_quantile"}
        assert set(METHOD_DEFAULTS[values["method"]].settings) - optional <= values.keys(), path


def test_data_sets_have_the_methods_published_for_them() -> None:
    found = {
        folder.name: {path.stem for path in folder.glob("*.yaml")} for folder in FOLDER.iterdir() if folder.is_dir()
    }
    published = {*METHOD_DEFAULTS} - {"graphnnclr", "reco", "fnc", "patchmix", "mnn"}
    for full in ("imagenette", "imagenet100"):
        assert found[full] == published
    of_sizes = {"patchmix_tiny", "patchmix_small", "patchmix_base"}
    assert (
        found["cifar10"] - published == found["cifar100"] == {"reco_ressl", "mnn", *of_sizes}
        and published <= found["cifar10"]
    )
    assert found["imagenet1k"] == {*published, *of_sizes, "dino_vit", "reco", "fnc"} - {"nnclr", "patchmix_tiny"}
    assert found["stl10"] == {"simclr", "byol", "barlow"}
