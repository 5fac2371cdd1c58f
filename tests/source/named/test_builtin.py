import hashlib
import io
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miner.errors import MinerError
from miner.source import open_source
from miner.source.named.arrays import Arrays
from miner.source.named.cifar10 import cifar10_tar


def test_sample_has_300_images_of_each_of_ten_classes() -> None:
    source = open_source("sample")
    assert Counter(entry.label for entry in source.entries) == dict.fromkeys(range(10), 300)
    assert len(source.classes) == 10
    assert Image.open(io.BytesIO(source.read(source.entries[-1]))).size == (28, 28)
    assert len({source.read(entry) for entry in source.entries[:500]}) == 500


def tiny_cifar() -> tuple[dict[str, Arrays], dict[str, tuple[str, str]]]:
    """Both splits of a small CIFAR-10, and their checksums."""
    rng = np.random.default_rng(0)
    arrays = {
        name: (rng.integers(0, 256, (n, 32, 32, 3), np.uint8), rng.integers(0, 10, n).astype(np.uint8))
        for name, n in (("train", 6), ("test", 3))
    }
    sums = {name: tuple(hashlib.sha256(a.tobytes()).hexdigest() for a in pair) for name, pair in arrays.items()}
    return arrays, sums


def unreachable(scratch: Path) -> dict[str, Arrays]:
    raise OSError("host not found")


def test_cifar10_comes_from_the_second_host_with_every_pixel(monkeypatch, tmp_path) -> None:
    arrays, sums = tiny_cifar()
    monkeypatch.setenv("MINER_CACHE", str(tmp_path))
    cifar10_tar(tmp_path / "cifar10", "train", sums, (("one", unreachable), ("other", lambda _: arrays)))
    for name, spec in (("train", "cifar10"), ("test", "cifar10:test")):
        source = open_source(spec)
        pixels = [np.asarray(Image.open(io.BytesIO(source.read(entry)))) for entry in source.entries]
        np.testing.assert_array_equal(pixels, arrays[name][0])
        assert [entry.label for entry in source.entries] == arrays[name][1].tolist()


def test_two_at_once_fetch_cifar10_once(tmp_path, capsys) -> None:
    arrays, sums = tiny_cifar()
    fetched = []

    def fetch(scratch: Path) -> dict[str, Arrays]:
        fetched.append(scratch)
        time.sleep(0.2)  # for the other one to come
        return arrays

    with ThreadPoolExecutor(4) as threads:
        tars = threads.map(lambda split: cifar10_tar(tmp_path, split, sums, (("one", fetch),)), ["train", "test"] * 2)
        assert all(tar.is_file() for tar in tars)
    assert len(fetched) == 1
    assert "waiting for another miner command" in capsys.readouterr().err


def test_cifar10_with_other_pixels_is_refused(tmp_path) -> None:
    arrays, sums = tiny_cifar()
    arrays["train"][0][0, 0, 0, 0] ^= 1
    with pytest.raises(MinerError, match="not CIFAR-10"):
        cifar10_tar(tmp_path, "train", sums, (("one", lambda _: arrays),))
    assert not list(tmp_path.rglob("*.tar"))


def test_cifar10_without_a_network_names_both_hosts(tmp_path) -> None:
    with pytest.raises(MinerError, match=r"one: host not found; other: host not found"):
        cifar10_tar(tmp_path, "train", origins=(("one", unreachable), ("other", unreachable)))
