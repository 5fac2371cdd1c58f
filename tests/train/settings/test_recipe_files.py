"""The files in pipelines/recipes."""

import re
from pathlib import Path

import pytest

from miner.options import read_yaml
from miner.train.settings.choices import choose_crops, choose_patch_size, choose_stem, peak_lr
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions

FOLDER = Path(__file__).parents[3] / "pipelines/recipes"
FILES = sorted(FOLDER.glob("*/*.yaml"))


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
    lr, batch, peak = map(float, re.findall(r"^# Peak learning rate: (\S+) x (\d+)/256 = (\S+)$", text, re.M)[0])
    assert lr == options.lr and batch == options.batch_size
    assert peak_lr(options.lr, options.batch_size) == pytest.approx(peak)


def test_every_method_has_its_settings_spelt_out() -> None:
    for path in FILES:
        values = read_yaml(path)
        optional = {"teacher_warmup_temperature", "teacher_warmup_epochs", "frozen_epochs"}
        assert set(METHOD_DEFAULTS[values["method"]].settings) - optional <= values.keys(), path


def test_data_sets_have_the_methods_published_for_them() -> None:
    found = {
        folder.name: {path.stem for path in folder.glob("*.yaml")} for folder in FOLDER.iterdir() if folder.is_dir()
    }
    published = {*METHOD_DEFAULTS} - {"graphnnclr"}
    for full in ("cifar10", "imagenette", "imagenet100"):
        assert found[full] == published
    assert found["imagenet1k"] == {*published, "dino_vit"} - {"nnclr"}
    assert found["stl10"] == {"simclr", "byol", "barlow"}
