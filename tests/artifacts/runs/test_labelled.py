import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.labelled import is_held_out, source_identity, split_labelled
from miner.errors import MinerError
from miner.source.keys import hashed_key
from tests.artifacts.class_folders import class_folders
from tests.source.tars import png, tar_bytes
from tests.train.mini_workspace import write_shards


def test_held_out_part_depends_on_keys_alone(tmp_path: Path) -> None:
    keys = []
    for images in (150, 200):
        inputs = find_inputs(write_shards(tmp_path / str(images), images=images), with_pairs=False)
        found = split_labelled(inputs, "sample")
        gallery, test = ({entry.key for entry in side.entries} for side in (found.gallery, found.test))
        assert not gallery & test and len(gallery) + len(test) == images
        assert 0.1 < len(test) / images < 0.3
        assert found.origin == "held out by key" and found.seen_in_training
        keys.append(test)
    assert keys[0] == keys[1] & keys[0] and len(keys[1]) > len(keys[0])


def test_the_held_out_share_is_the_asked_one() -> None:
    share = sum(is_held_out(f"key-{number}", 0.2) for number in range(20_000)) / 20_000
    assert abs(share - 0.2) < 0.01


def test_limit_takes_images_of_all_classes_from_sorted_folders(tmp_path: Path) -> None:
    spec = class_folders(tmp_path, {0: "a", 1: "b", 2: "c"})
    found = split_labelled(None, "sample", gallery=spec, limit=30)
    assert len(found.gallery.entries) + len(found.test.entries) == 30
    assert {entry.label for entry in found.gallery.entries} == {0, 1, 2}
    assert not found.seen_in_training


def test_labels_of_fewer_classes_follow_the_names(tmp_path: Path) -> None:
    gallery = class_folders(tmp_path / "gallery", {0: "a", 1: "b", 2: "c"})
    test = class_folders(tmp_path / "test", {1: "b", 2: "c"})
    found = split_labelled(None, "sample", gallery=gallery, test=test)
    assert found.classes == ["a", "b", "c"] and found.origin == "given"
    for entry in found.test.entries:
        assert found.classes[entry.label] == entry.path.split("/")[0]


def test_a_test_class_that_the_gallery_lacks_is_an_error(tmp_path: Path) -> None:
    gallery = class_folders(tmp_path / "gallery", {0: "a", 1: "b"})
    test = class_folders(tmp_path / "test", {0: "a", 2: "c"})
    with pytest.raises(MinerError, match=r"class 'c'.*is not among the classes"):
        split_labelled(None, "sample", gallery=gallery, test=test)


@pytest.mark.parametrize("numbered", ["gallery", "test"])
@pytest.mark.parametrize("numbers", ["0 1", "7 0"])
def test_names_against_numbers_are_refused(tmp_path: Path, numbered: str, numbers: str) -> None:
    named = class_folders(tmp_path / "named", {0: "a", 1: "b"})
    members = []
    for row in range(20):
        members += [(f"{row}.png", png(row)), (f"{row}.cls", numbers.split()[row % 2].encode())]
    (tmp_path / "numbers.tar").write_bytes(tar_bytes(members))
    sides = {"gallery": named, "test": named, numbered: str(tmp_path / "numbers.tar")}
    with pytest.raises(
        MinerError, match=r"labels of .*numbers\.tar are numbers, and those of .*named are class names \(a, b\)"
    ):
        split_labelled(None, "sample", **sides)
    both = dict.fromkeys(sides, str(tmp_path / "numbers.tar"))
    assert split_labelled(None, "sample", **both).test.entries


def test_classes_in_another_order_are_matched_by_name(tmp_path: Path) -> None:
    for split, order in (("gallery", ["cat", "dog"]), ("test", ["dog", "cat"])):
        images = pa.array([{"bytes": png(row), "path": f"{order[row % 2]}-{row}.png"} for row in range(20)])
        features = {"label": {"names": order, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = pa.table({"image": images, "label": [row % 2 for row in range(20)]})
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / f"{split}.parquet")
    found = split_labelled(
        None, "sample", gallery=str(tmp_path / "gallery.parquet"), test=str(tmp_path / "test.parquet")
    )
    for entry in [*found.gallery.entries, *found.test.entries]:
        assert entry.path.partition("/")[2].startswith(found.classes[entry.label])


def test_without_labels_the_error_says_where_labels_come_from(tmp_path: Path) -> None:
    inputs = find_inputs(write_shards(tmp_path, labelled=False), with_pairs=False)
    with pytest.raises(MinerError, match=r"no labels.*class folders.*\.cls.*--gallery.*--test"):
        split_labelled(inputs, "sample")


def test_one_class_is_an_error(tmp_path: Path) -> None:
    spec = class_folders(tmp_path, {0: "a", 1: "b"})
    names = (f"{number}.png" for number in range(1000))
    held_out = next(name for name in names if is_held_out(hashed_key(f"b/{name}"), 0.2))
    first, *others = (tmp_path / "b").iterdir()
    first.rename(tmp_path / "b" / held_out)
    for picture in others:
        picture.unlink()
    with pytest.raises(MinerError, match="are of one class"):
        split_labelled(None, "sample", gallery=spec)


def test_identity_follows_the_files_of_a_folder(tmp_path: Path) -> None:
    spec = class_folders(tmp_path, {0: "a", 1: "b"})
    before = source_identity(spec, None)
    assert source_identity(spec, None) == before and source_identity("sample", None) == "sample"
    next(tmp_path.rglob("*.png")).unlink()
    assert source_identity(spec, None) != before


def test_parquet_takes_the_columns_of_the_workspace(tmp_path: Path) -> None:
    images = pa.array([png(number) for number in range(20)])
    columns = {"left": images, "right": images, "breed": pa.array(["husky", "pug"] * 10), "label": pa.array([0] * 20)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    folder = class_folders(tmp_path / "folders", {0: "husky", 1: "pug"})
    chosen = SourceRecord(spec="any", image_column="left", label_column="breed")
    found = split_labelled(None, "sample", gallery=folder, test=str(tmp_path / "a.parquet"), like=chosen)
    assert [found.classes[entry.label or 0] for entry in found.test.entries] == ["husky", "pug"] * 10
    assert source_identity(folder, chosen) == source_identity(folder, None)
    for other in (None, SourceRecord(spec="any", image_column="centre")):
        with pytest.raises(MinerError, match=r"several columns .* left, right.*`miner embed --image-column`"):
            split_labelled(None, "sample", gallery=folder, test=str(tmp_path / "a.parquet"), like=other)
