"""Named data sets: torchvision's own code on tiny archives of the real layout, and Fashion-MNIST for real."""

import gzip
import io
import json
import pickle
import struct
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miner.errors import MinerError
from miner.source import open_source
from miner.source.named import fetched
from miner.source.named.arrays import Arrays
from miner.source.named.builtin import BUILTIN, HELD_OUT
from miner.source.named.fashion import FASHION_CLASSES
from miner.source.named.fetched import DEBIAN_FASHION
from miner.source.named.idx import read_idx_splits
from miner.source.named.torchvision_sets import DATA_SETS

RNG = np.random.default_rng(0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no host within reach, and checksums that any archive has."""

    def unreachable(request, *args, **options):
        asked.append(request.full_url.replace("http:", "https:"))
        raise urllib.error.URLError("Name or service not known")

    asked: list[str] = []
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda *args, **options: True)
    monkeypatch.setattr(fetched, "DEBIAN_FASHION", tmp_path / "nowhere")
    monkeypatch.setenv("MINER_CACHE", str(tmp_path / "cache"))
    unreachable.asked = asked
    return tmp_path / "cache"


def jpeg(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), (number, 0, 0)).save(stream, "JPEG")
    return stream.getvalue()


def put_archive(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def pixels_of(source) -> np.ndarray:
    return np.array([np.asarray(Image.open(io.BytesIO(source.read(entry)))) for entry in source.entries])


def test_cifar100(cache: Path) -> None:
    splits = {"train": RNG.integers(0, 256, (5, 3072), np.uint8), "test": RNG.integers(0, 256, (2, 3072), np.uint8)}
    names = [f"class {number}" for number in range(100)]
    members = {
        f"cifar-100-python/{split}": pickle.dumps({"data": data, "fine_labels": list(range(90, 90 + len(data)))})
        for split, data in splits.items()
    }
    members["cifar-100-python/meta"] = pickle.dumps({"fine_label_names": names})
    put_archive(cache / "cifar100" / "download" / "cifar-100-python.tar.gz", members)
    for spec, split in (("cifar100", "train"), ("cifar100:test", "test")):
        source = open_source(spec)
        expected = splits[split].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        assert np.array_equal(pixels_of(source), expected)
        assert [entry.label for entry in source.entries] == list(range(90, 90 + len(expected)))
        assert (source.spec, source.classes) == (spec, names)
        assert source.entries[0].path == f"cifar100:{split}/{split}-00000.png"
    assert not (cache / "cifar100" / "download").exists()


def test_stl10_is_its_unlabelled_part(cache: Path) -> None:
    parts = {"unlabeled": 4, "train": 3, "test": 2}
    stored = {part: RNG.integers(0, 256, (count, 3, 96, 96), np.uint8) for part, count in parts.items()}
    members = {f"stl10_binary/{part}_X.bin": data.tobytes() for part, data in stored.items()}
    members |= {f"stl10_binary/{part}_y.bin": bytes([10, 1, 2][: parts[part]]) for part in ("train", "test")}
    members["stl10_binary/class_names.txt"] = b"airplane\nbird\n"
    members["stl10_binary/fold_indices.txt"] = b"0 1\n"
    put_archive(cache / "stl10" / "download" / "stl10_binary.tar.gz", members)
    for spec, part in [("stl10", "unlabeled"), ("stl10:unlabeled", "unlabeled"), ("stl10:train", "train")]:
        # STL-10 stores columns before rows.
        assert np.array_equal(pixels_of(open_source(spec)), stored[part].transpose(0, 3, 2, 1))
    plain, explicit = open_source("stl10"), open_source("stl10:unlabeled")
    assert (plain.entries, plain.classes) == (explicit.entries, None)
    assert {entry.label for entry in plain.entries} == {None}
    assert [entry.label for entry in open_source("stl10:train").entries] == [9, 0, 1]
    assert open_source("stl10:test").classes == ["airplane", "bird"]


def test_flowers102(cache: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io", reason="scipy is not installed")
    place = cache / "flowers102" / "download" / "flowers-102"
    put_archive(place / "102flowers.tgz", {f"jpg/image_{number:05d}.jpg": jpeg(number) for number in range(1, 6)})
    scipy_io.savemat(place / "imagelabels.mat", {"labels": np.array([[3, 1, 102, 1, 2]])})
    scipy_io.savemat(place / "setid.mat", {"trnid": [[5, 1]], "valid": [[2, 3]], "tstid": [[4, 4]]})
    source = open_source("flowers102")
    assert [(entry.path, entry.label, entry.extension) for entry in source.entries] == [
        ("flowers102:train/flowers-102/jpg/image_00005.jpg", 1, "jpg"),
        ("flowers102:train/flowers-102/jpg/image_00001.jpg", 2, "jpg"),
    ]
    assert [source.read(entry) for entry in source.entries] == [jpeg(5), jpeg(1)]
    assert (len(source.classes), source.classes[0]) == (102, "pink primrose")


def put_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_dtd_as_published(cache: Path) -> None:
    images = {
        f"images/{name}.jpg": jpeg(number) for number, name in enumerate(("dotted/d_1", "banded/b_1", "dotted/d_2"))
    }
    lists = {"train1": b"dotted/d_1.jpg\nbanded/b_1.jpg\n", "val1": b"dotted/d_2.jpg\n", "test1": b"banded/b_1.jpg\n"}
    labels = {f"labels/{name}.txt": text for name, text in lists.items()}
    put_files(cache / "dtd" / "download" / "dtd" / "dtd", {**images, **labels})
    source = open_source("dtd")
    assert source.classes == ["banded", "dotted"]
    assert [(entry.label, source.read(entry)) for entry in source.entries] == [(1, jpeg(0)), (0, jpeg(1))]
    assert [entry.path for entry in open_source("dtd:val").entries] == ["dtd:val/dtd/dtd/images/dotted/d_2.jpg"]
    assert urllib.request.urlopen.asked == []


def test_aircraft_as_published(cache: Path) -> None:
    lists = {"train": b"0001 707-320\n0002 A340 300\n", "val": b"0003 707-320\n", "test": b"0004 A340 300\n"}
    files = {f"images_variant_{split}.txt": text for split, text in lists.items()}
    files |= {f"images/000{number}.jpg": jpeg(number) for number in range(1, 5)}
    files["variants.txt"] = b"707-320\nA340 300\n"
    put_files(cache / "aircraft" / "download" / "fgvc-aircraft-2013b" / "data", files)
    for spec, found in (("aircraft", [(0, 1), (1, 2)]), ("aircraft:val", [(0, 3)]), ("aircraft:test", [(1, 4)])):
        source = open_source(spec)
        assert source.classes == ["707-320", "A340 300"]
        assert [(e.label, source.read(e)) for e in source.entries] == [(label, jpeg(n)) for label, n in found]


def test_oxford_pets(cache: Path) -> None:
    place = cache / "oxford-pets" / "download" / "oxford-iiit-pet"
    names = ["Abyssinian_1", "Abyssinian_2", "basset_hound_1", "basset_hound_2"]
    put_archive(place / "images.tar.gz", {f"images/{name}.jpg": jpeg(n) for n, name in enumerate(names)})
    lists = {
        "trainval": b"Abyssinian_1 1 1 1\nbasset_hound_1 2 2 1\n",
        "test": b"Abyssinian_2 1 1 1\nbasset_hound_2 2 2 1\n",
    }
    put_archive(place / "annotations.tar.gz", {f"annotations/{name}.txt": text for name, text in lists.items()})
    source = open_source("oxford-pets")
    assert source.classes == ["Abyssinian", "Basset Hound"]
    assert [(entry.label, source.read(entry)) for entry in source.entries] == [(0, jpeg(0)), (1, jpeg(2))]
    test = open_source("oxford-pets:test")
    assert test.classes == source.classes
    assert not {entry.key for entry in test.entries} & {entry.key for entry in source.entries}


def food(cache: Path) -> None:
    lists = {"train": {"pie": ["pie/1", "pie/2"], "apple": ["apple/3"]}, "test": {"pie": ["pie/4"], "apple": []}}
    members = {f"food-101/meta/{split}.json": json.dumps(names).encode() for split, names in lists.items()}
    members |= {f"food-101/images/{name}.jpg": jpeg(int(name[-1])) for name in ("pie/1", "pie/2", "apple/3", "pie/4")}
    put_archive(cache / "food101" / "download" / "food-101.tar.gz", members)


def test_food101_opens_again_without_torch(cache: Path) -> None:
    food(cache)
    source = open_source("food101")
    assert [(entry.label, source.read(entry)) for entry in source.entries] == [(1, jpeg(1)), (1, jpeg(2)), (0, jpeg(3))]
    code = (
        "import sys; from miner.source import open_source; "
        "print([entry.key for entry in open_source('food101').entries], 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == f"{[entry.key for entry in source.entries]} False"


def test_interrupted_unpacking_is_noticed(cache: Path) -> None:
    food(cache)
    open_source("food101")
    (cache / "food101" / "food101-train.json").unlink()
    (cache / "food101" / "download" / "food-101" / "images" / "pie" / "2.jpg").unlink()
    with pytest.raises(MinerError, match="incomplete"):
        open_source("food101")


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_an_unreachable_host_is_named_with_a_way_out(cache: Path, name: str) -> None:
    with pytest.raises(MinerError) as caught:
        open_source(name)
    message, data_set = str(caught.value), DATA_SETS[name]
    assert "\n" not in message
    assert all(url in message for url in data_set.urls)
    assert str(cache / name / "download" / data_set.subfolder) in message
    asked = set(urllib.request.urlopen.asked)
    assert asked <= {url.replace("http:", "https:") for url in data_set.urls}
    assert asked
    assert not list(cache.rglob("*.tar"))


def test_every_split_and_every_held_out_part_has_a_name() -> None:
    named = {f"{name}:{split}" for name, data_set in DATA_SETS.items() for split in data_set.splits if split != "train"}
    assert named <= BUILTIN.keys()
    assert DATA_SETS.keys() <= BUILTIN.keys()
    assert HELD_OUT.keys() | set(HELD_OUT.values()) <= BUILTIN.keys()


needs_fashion = pytest.mark.skipif(
    not DEBIAN_FASHION.exists(), reason="the package dataset-fashion-mnist is not installed"
)


@pytest.fixture(scope="module")
def fashion() -> dict[str, Arrays]:
    """Fashion-MNIST as the package of Debian holds it."""
    if not DEBIAN_FASHION.exists():
        pytest.skip("the package dataset-fashion-mnist is not installed")
    splits = read_idx_splits(DEBIAN_FASHION)
    assert splits is not None
    return splits


def test_fashion_mnist_of_debian_is_what_torchvision_reads(cache: Path, fashion: dict[str, Arrays]) -> None:
    from torchvision.datasets import FashionMNIST

    raw = cache / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in DEBIAN_FASHION.glob("*.gz"):
        (raw / file.name).symlink_to(file)
    for split, (pixels, labels) in fashion.items():
        oracle = FashionMNIST(str(cache), train=split == "train", download=True)
        assert np.array_equal(pixels, oracle.data.numpy())
        assert np.array_equal(labels, oracle.targets.numpy())
        assert oracle.classes == FASHION_CLASSES
    assert np.bincount(fashion["train"][1]).tolist() == [6000] * 10


def test_sample_is_a_part_of_fashion_mnist(fashion: dict[str, Arrays]) -> None:
    label_of = {row.tobytes(): label for row, label in zip(*fashion["train"], strict=True)}
    sample = open_source("sample")
    assert [label_of[row.tobytes()] for row in pixels_of(sample)] == [entry.label for entry in sample.entries]


def put_idx(folder: Path, arrays: dict[str, Arrays]) -> None:
    folder.mkdir()
    for split, (pixels, labels) in arrays.items():
        prefix = "train" if split == "train" else "t10k"
        for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))


def tiny_fashion() -> dict[str, Arrays]:
    return {
        split: (RNG.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8))
        for split, count in (("train", 6), ("test", 3))
    }


def test_fashion_mnist_comes_from_the_package_without_a_network(cache: Path, tmp_path: Path) -> None:
    arrays = tiny_fashion()
    put_idx(tmp_path / "nowhere", arrays)
    for spec, split in (("fashion-mnist", "train"), ("fashion-mnist:test", "test")):
        source = open_source(spec)
        assert np.array_equal(pixels_of(source), arrays[split][0])
        assert [entry.label for entry in source.entries] == arrays[split][1].tolist()
        assert source.classes == FASHION_CLASSES
    assert urllib.request.urlopen.asked == []


@pytest.mark.parametrize("damage", ["cut", "kind", "count", "gone"])
def test_a_damaged_package_is_not_used(cache: Path, tmp_path: Path, damage: str) -> None:
    arrays = tiny_fashion()
    if damage == "count":
        arrays["test"] = (arrays["test"][0], arrays["test"][1][:2])
    put_idx(tmp_path / "nowhere", arrays)
    path = tmp_path / "nowhere" / "t10k-images-idx3-ubyte.gz"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changes = {"cut": data[:-100], "kind": gzip.compress(b"\0\0\x0d" + gzip.decompress(data)[3:]), "count": data}
        path.write_bytes(changes[damage])
    with pytest.raises(MinerError, match="could not be fetched"):
        open_source("fashion-mnist")
