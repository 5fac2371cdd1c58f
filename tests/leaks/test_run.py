"""`miner leaks` from sets to lists: what is found, of which kind, and what is left to do."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import miner
from miner.artifacts.workspace import Workspace
from miner.commands.app import app
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError, UsageError
from miner.verify.run import verify
from tests.leaks.pictures import as_jpeg, changed, picture, write_pictures
from tests.source.tars import tar_bytes

BROKEN = b"\xff\xd8\xff\xe0 no more than the start of an image"


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """12 images to train on, 12 others to test on."""
    return write_pictures(tmp_path / "train", range(12)), write_pictures(tmp_path / "test", range(20, 32))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_kinds_are_told_apart(sets, find, kinds, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("miner.leaks.matches.NEAREST", 50)  # the encoder of the tests tells little apart
    train, test = sets
    shutil.copy(train / "class0/000.jpg", test / "class0/same.jpg")
    picture_of(train / "class1/001.jpg").save(test / "class0/pixels.png")
    for name, image in changed(picture_of(train / "class0/002.jpg")).items():
        image.save(test / f"class0/{name}.png")
    result = find(train, test, ceiling=1.0)
    near = {("002.jpg", f"{name}.png"): "near" for name in changed(picture(0))}
    assert kinds() == {("000.jpg", "same.jpg"): "bytes", ("001.jpg", "pixels.png"): "pixels", **near}
    assert result.exit_code == 3 and result.record["kinds"] == {"bytes": 1, "pixels": 1, "near": 8, "scene": 0}
    folder = tmp_path / "w/leaks"
    assert (folder / "remove-1-paths.txt").read_text().split() == ["class0/000.jpg", "class0/002.jpg", "class1/001.jpg"]
    assert [key[:10] for key in (folder / "remove-1.txt").read_text().split()] == [
        "class0_000",
        "class0_002",
        "class1_001",
    ]
    card = (folder / "card.md").read_text()
    assert f"3 of the 12 images of `{train}` (25.00%) are also in `{test}`" in card and "8 of nearly the same" in card
    verify(str(tmp_path / "w"))


def picture_of(path: Path):
    from miner.images.decode import decode_image

    return decode_image(path.read_bytes())


def test_scene_is_what_is_similar_and_no_copy(sets, find, kinds) -> None:
    train, test = sets
    find(train, test, ceiling=-1.0)
    assert set(kinds().values()) == {"scene"} and len(kinds()) == 144
    assert find(train, test, ceiling=-1.0, up_to="near").exit_code == 0


@pytest.mark.parametrize(("up_to", "undecoded"), [("bytes", 0), ("pixels", 1)])
def test_no_byte_copy_is_missed_in_any_container(tmp_path, find, kinds, up_to: str, undecoded: int) -> None:
    train = write_pictures(tmp_path / "train", range(12))
    (train / "class0/broken.jpg").write_bytes(BROKEN)
    (train / "class0/empty.jpg").write_bytes(b"")
    shutil.copy(train / "class0/002.jpg", train / "class1/again.jpg")
    files = [train / name for name in ("class0/000.jpg", "class0/002.jpg", "class1/003.jpg", "class0/broken.jpg")]
    with tarfile.open(tmp_path / "test.tar", "w") as tar:
        for number, data in enumerate([*(file.read_bytes() for file in files), b"", as_jpeg(picture(50), 90)]):
            info = tarfile.TarInfo(f"{number:03d}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    cells = [
        {"bytes": data, "path": None} for data in [*(file.read_bytes() for file in files), as_jpeg(picture(51), 90)]
    ]
    pq.write_table(pa.table({"image": cells}), tmp_path / "extra.parquet")
    record = find(train, tmp_path / "test.tar", tmp_path / "extra.parquet", up_to=up_to).record
    of_train = [
        pair for pair in kinds() if not pair[0].startswith("00") or pair[0] in ("000.jpg", "002.jpg", "003.jpg")
    ]
    assert {name for name, _ in of_train} >= {"000.jpg", "002.jpg", "003.jpg", "broken.jpg", "again.jpg"}
    assert [each["remove"] for each in record["sets"]] == [5, 4, 0]
    assert [each["without_vector"] for each in record["sets"]] == [undecoded] * 3
    assert record["groups"] == 4


def test_bytes_are_compared_without_an_encoder(sets, find, kinds, tmp_path, monkeypatch) -> None:
    train, test = sets
    shutil.copy(train / "class0/000.jpg", test / "class0/same.jpg")
    for name in ("a", "b"):  # not decoded, so no damage
        (train.parent / ("train" if name == "a" else "test") / f"{name}.jpg").write_bytes(BROKEN)
    embed(EmbedOptions(source=str(test), device="cpu", max_errors=1.0), Workspace(tmp_path / "embedded"))
    monkeypatch.setattr("miner.embed.worker.load_encoder", None)
    for other in (test, tmp_path / "embedded"):
        result = find(train, other, up_to="bytes", force=True)
        assert kinds() == {("000.jpg", "same.jpg"): "bytes", ("a.jpg", "b.jpg"): "bytes"}
        assert result.exit_code == 3 and "(the sha256 of the files)" in result.record["sentence"]
        page = (tmp_path / "w/leaks/index.html").read_text()
        assert page.count("data:image/") == 2 and page.count("cannot be decoded") == 2
    assert not find(train, other, up_to="bytes").fresh and not (tmp_path / "w/sets").exists()
    shutil.copy(train / "class0/002.jpg", test / "class1/new.jpg")
    assert find(train, test, up_to="bytes", force=True).record["pairs"] == 3


def test_groups_reach_over_three_sets(tmp_path, find) -> None:
    one, two, three = (write_pictures(tmp_path / name, range(10 * n, 10 * n + 6)) for n, name in enumerate("abc", 1))
    original = picture_of(one / "class0/010.jpg")
    changed(original)["mirrored"].save(two / "class0/mirrored.png")
    changed(original)["resized"].save(three / "class0/resized.png")
    shutil.copy(two / "class1/021.jpg", three / "class1/same.jpg")
    record = find(one, two, three, ceiling=1.0).record
    assert record["groups"] == 2 and record["pairs"] == 4
    assert [each["remove"] for each in record["sets"]] == [1, 2, 0]
    groups = pq.read_table(tmp_path / "w/leaks/leaks.parquet", columns=["group"])["group"].to_pylist()
    assert groups == [1, 1, 1, 2]


def test_nothing_found_is_exit_code_zero(sets, find, tmp_path) -> None:
    result = find(*sets, ceiling=1.0)
    assert result.exit_code == 0 and result.record["pairs"] == 0
    assert "No image of" in result.record["sentence"]
    assert "The sets share no image" in (tmp_path / "w/leaks/index.html").read_text()
    assert (tmp_path / "w/leaks/remove-1.txt").read_text() == ""


def test_hostile_names_and_labels_are_harmless(tmp_path, find) -> None:
    train, test = tmp_path / "train", tmp_path / "test"
    label, name = "<script>alert(1)<", '=cmd|"<img src=x onerror=alert(2)>\n`.jpg'
    for folder, seeds in ((train, range(4)), (test, range(10, 14))):
        write_pictures(folder, seeds)
        (folder / label).mkdir()
        (folder / label / name).write_bytes(as_jpeg(picture(99), 90))
        (folder / f"=1+{folder.name}").mkdir()
        (folder / f"=1+{folder.name}" / "a.jpg").write_bytes(as_jpeg(picture(98), 90))
    find(train, test)
    page = (tmp_path / "w/leaks/index.html").read_text()
    assert "<script" not in page and "<img src=x" not in page and "&lt;script&gt;alert(1)&lt;" in page
    cells = [cell for line in (tmp_path / "w/leaks/leaks.csv").read_text().splitlines() for cell in line.split(",")]
    assert any(cell.startswith("\"'=1+train") for cell in cells) and not any(cell.startswith('"=') for cell in cells)
    assert len((tmp_path / "w/leaks/remove-1-paths.txt").read_text().splitlines()) == 2


@pytest.mark.parametrize("second", ["{0}/", "{0}/../train", "file://{0}"])
def test_a_set_that_is_named_twice_is_refused(sets, find, second: str) -> None:
    with pytest.raises(UsageError, match="are the same images"):
        find(sets[0], second.format(sets[0]))


def test_a_set_and_its_own_workspace_are_refused(sets, find, tmp_path) -> None:
    embed(EmbedOptions(source=str(sets[0]), device="cpu"), Workspace(tmp_path / "own"))
    with pytest.raises(UsageError, match="are the same images"):
        find(sets[0], tmp_path / "own")
    assert find(tmp_path / "own", sets[1]).record["sets"][0]["images"] == 12


def test_one_set_without_splits_is_no_comparison(sets, tmp_path) -> None:
    for name, words in ((str(sets[0]), "alone has no splits. Name TRAIN and TEST"), ("photos", "There is no source")):
        answer = CliRunner().invoke(app, ["leaks", name, "-w", str(tmp_path / "w")])
        assert isinstance(answer.exception, UsageError) and words in str(answer.exception)


def test_splits_of_one_folder_are_compared(tmp_path, find, kinds) -> None:
    home = tmp_path / "photos"
    for name, seeds in (("val", range(20, 23)), ("train", range(6)), ("masks", range(30, 33)), ("test", range(10, 13))):
        write_pictures(home / name, seeds)
    shutil.copy(home / "train/class0/000.jpg", home / "test/class0/same.jpg")
    record = find(home, up_to="bytes").record
    assert [each["name"] for each in record["sets"]] == [f"{home}/{name}" for name in ("train", "val", "test")]
    assert kinds() == {("000.jpg", "same.jpg"): "bytes"} and [each["remove"] for each in record["sets"]] == [1, 0, 0]
    assert not find(home, up_to="bytes").fresh


def test_splits_of_parquet_files_are_compared(tmp_path, find, kinds) -> None:
    seeds = {"test-00000-of-00001": (4, 5), "train-00000-of-00002": (0, 1, 2), "train-00001-of-00002": (3, 4)}
    folder = tmp_path / "download/data"
    folder.mkdir(parents=True)
    for name, numbers in seeds.items():
        cells = [{"bytes": as_jpeg(picture(seed), 92), "path": f"{seed}.jpg"} for seed in numbers]
        pq.write_table(pa.table({"image": cells}), folder / f"{name}.parquet")
    record = find(tmp_path / "download", up_to="bytes").record
    assert [(Path(each["name"]).name, each["images"]) for each in record["sets"]] == [
        ("train-*.parquet", 5),
        ("test-*.parquet", 2),
    ]
    assert list(kinds()) == [("4.jpg", "4.jpg")]


SPLITS = {"train": (0, 1, 2), "dev": (3, 4), "test": (2, 5)}


def write_folders_in_tar(root: Path) -> str:
    images = [(f"{split}/{seed}.jpg", as_jpeg(picture(seed), 90)) for split, seeds in SPLITS.items() for seed in seeds]
    (root / "all.tar").write_bytes(tar_bytes(images))
    return "all.tar"


def write_json_in_tar(root: Path) -> str:
    members = []
    for split, seeds in SPLITS.items():
        for seed in seeds:
            members += [(f"{split}-{seed}.jpg", as_jpeg(picture(seed), 90))]
            members += [(f"{split}-{seed}.json", json.dumps({"split": split}).encode())]
    (root / "all.tar").write_bytes(tar_bytes(members))
    return "all.tar"


def write_column_of_parquet(root: Path) -> str:
    rows = [(as_jpeg(picture(seed), 90), split) for split, seeds in SPLITS.items() for seed in seeds]
    images, splits = zip(*rows, strict=True)
    pq.write_table(pa.table({"image": images, "split": splits}), root / "all.parquet")
    return "all.parquet"


def write_table_beside_images(root: Path) -> str:
    lines = ["file_name,split"]
    (root / "flat").mkdir()
    for split, seeds in SPLITS.items():
        for seed in seeds:
            (root / f"flat/{split}-{seed}.jpg").write_bytes(as_jpeg(picture(seed), 90))
            lines.append(f"{split}-{seed}.jpg,{split}")
    (root / "flat/none.jpg").write_bytes(as_jpeg(picture(9), 90))  # in no split
    (root / "flat/splits.csv").write_text("\n".join(lines))
    return "flat"


def write_files_of_a_glob(root: Path) -> str:
    for split, seeds in SPLITS.items():
        cells = [{"bytes": as_jpeg(picture(seed), 90), "path": f"{seed}.jpg"} for seed in seeds]
        pq.write_table(pa.table({"image": cells}), root / f"{split}-0.parquet")
    return "*.parquet"


@pytest.mark.parametrize(
    "write",
    [
        *(write_folders_in_tar, write_json_in_tar, write_column_of_parquet, write_table_beside_images),
        write_files_of_a_glob,
    ],
)
def test_splits_inside_one_source_are_compared(tmp_path, find, write) -> None:
    whole = f"{tmp_path}/{write(tmp_path)}"
    record = find(whole, up_to="bytes").record
    parts = [("train", 3), ("validation" if write is write_folders_in_tar else "dev", 2), ("test", 2)]
    named = [f"{tmp_path}/{part}-*.parquet" if "*" in whole else f"{whole}:{part}" for part, _ in parts]
    assert [(each["name"], each["images"]) for each in record["sets"]] == [
        (name, images) for name, (_, images) in zip(named, parts, strict=True)
    ]
    assert [each["remove"] for each in record["sets"]] == [1, 0, 0]
    assert "data:image/" in (tmp_path / "w/leaks/index.html").read_text()


def test_hub_out_of_reach_says_what_to_download(find, hub) -> None:
    hub.fault = RuntimeError("Name or service not known")
    with pytest.raises(MinerError, match="hf download --repo-type dataset someone/clothes"):
        find("hf://datasets/someone/clothes")


def test_one_image_is_a_set(sets, find, kinds, tmp_path) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(sets[0] / "class0/004.jpg", tmp_path / "one/query.jpg")
    assert find(tmp_path / "one", sets[0]).record["ceiling"] > 0
    assert kinds()["query.jpg", "004.jpg"] == "bytes"


def test_vectors_on_disk_give_the_same_result(sets, find, tmp_path, monkeypatch) -> None:
    shutil.copy(sets[0] / "class1/003.jpg", sets[1] / "class0/000.jpg")  # so that equal contents leave gaps in the rows
    find(*sets, ceiling=-1.0)
    before = contents(tmp_path / "w/leaks")
    monkeypatch.setattr("miner.pairs.two_sets.search.fit_in_memory", lambda *_: False)
    monkeypatch.setattr("miner.artifacts.embeddings.store.EmbeddingStore.vectors", None)
    find(*sets, ceiling=-1.0, force=True, memory="400MB")
    assert contents(tmp_path / "w/leaks") == before


def test_a_wrong_name_is_found_before_anything_is_embedded(sets, find, tmp_path) -> None:
    with pytest.raises(UsageError, match="There is no source"):
        find(sets[0], "absent")
    assert not (tmp_path / "w/sets").exists()


def test_workspaces_of_two_encoders_are_refused(sets, find, tmp_path) -> None:
    for name, folder in zip("ab", sets, strict=True):
        embed(EmbedOptions(source=str(folder), device="cpu"), Workspace(tmp_path / name))
    path = tmp_path / "b/embeddings/manifest.json"
    record = json.loads(path.read_text())
    record["encoder"] = {"name": "other", "weights_sha256": "0" * 64}
    path.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="Cosines between two encoders"):
        find(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UsageError, match="--encoder is resnet50"):
        find(tmp_path / "a", sets[1], encoder="resnet50")


def test_finished_work_is_not_done_again(sets, find, tmp_path, monkeypatch) -> None:
    shutil.copy(sets[0] / "class0/000.jpg", sets[1] / "class0/same.jpg")
    first = find(*sets)
    before = contents(tmp_path / "w/leaks")
    with monkeypatch.context() as patch:
        patch.setattr("miner.leaks.page.leaks_page", None)
        again = find(*sets)
    assert first.fresh and not again.fresh and again.exit_code == 3
    (tmp_path / "w/leaks/manifest.json").unlink()
    (tmp_path / "w/leaks/.index.html.partial").write_text("cut off")
    with monkeypatch.context() as patch:
        patch.setattr("miner.embed.worker.Worker.encode_block", None)
        assert find(*sets).fresh
    assert contents(tmp_path / "w/leaks") == before


def test_grown_sets_are_compared_anew_other_sets_refused(sets, find, tmp_path) -> None:
    assert find(*sets, ceiling=1.0).exit_code == 0
    shutil.copy(sets[0] / "class0/000.jpg", sets[1] / "class0/same.jpg")
    assert find(*sets, ceiling=1.0).exit_code == 3
    with pytest.raises(MinerError, match="holds the leaks of other sets"):
        find(*sets[::-1])
    assert find(*sets[::-1], force=True).exit_code == 3


def test_command_ends_with_code_three_and_python_agrees(sets, tmp_path) -> None:
    shutil.copy(sets[0] / "class0/000.jpg", sets[1] / "class0/same.jpg")
    arguments = ["leaks", *map(str, sets), "-w", str(tmp_path / "w"), "--up-to", "pixels", "--device", "cpu"]
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 3 and json.loads(answer.stdout)["kinds"] == {"bytes": 1, "pixels": 0}
    found = miner.leaks(*sets, workspace=tmp_path / "w", up_to="pixels", device="cpu", quiet=True)
    assert len(found) == 1 and [key[:10] for key in found.remove[str(sets[0])]] == ["class0_000"]
    assert found.to_arrow()["path_b"].to_pylist() == ["class0/same.jpg"]
    assert np.isnan(found.to_pandas()["similarity"][0]) and "also in" in found._repr_html_()


def test_an_image_that_is_gone_is_named(sets, find, tmp_path) -> None:
    for name, folder in zip("ab", sets, strict=True):
        embed(EmbedOptions(source=str(folder), device="cpu"), Workspace(tmp_path / name))
    (sets[0] / "class0/000.jpg").unlink()
    with pytest.raises(MinerError, match="is gone since it was embedded"):
        find(tmp_path / "a", tmp_path / "b", ceiling=-1.0)


def test_vectors_of_no_encoder_need_a_ceiling(sets, find, tmp_path, make_embeddings) -> None:
    one, other = (make_embeddings(np.eye(4, dtype=np.float32), name=name) for name in "ab")
    (other.embeddings / "manifest.json").write_text(
        (one.embeddings / "manifest.json").read_text().replace("made in", "from")
    )
    with pytest.raises(UsageError, match=r"Give --ceiling"):
        find(one.root, other.root)
    with pytest.raises(UsageError, match="Name workspaces only"):
        find(one.root, sets[0])
