"""Data sets that torchvision can fetch: their URLs and their splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DataSet:
    """A data set that torchvision can fetch.

    Attributes:
        name: in SOURCE, and of its cache folder.
        torchvision: name of its class in `torchvision.datasets`.
        urls: what that class fetches.
        subfolder: the subfolder of the download folder, where that class looks for these files.
        splits: arguments of that class, by the name of the split in SOURCE.
    """

    name: str
    torchvision: str
    urls: tuple[str, ...]
    subfolder: str
    splits: Mapping[str, Mapping[str, Any]]


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_TRAIN_TEST = {"train": {"train": True}, "test": {"train": False}}

DATA_SETS = {
    data_set.name: data_set
    for data_set in (
        DataSet("cifar100", "CIFAR100", ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",), "", _TRAIN_TEST),
        DataSet(
            "stl10",
            "STL10",
            ("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",),
            "",
            {split: {"split": split} for split in ("unlabeled", "train", "test")},
        ),
        DataSet(
            "fashion-mnist",
            "FashionMNIST",
            tuple(
                f"{_FASHION}/{part}-ubyte.gz"
                for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
            ),
            "FashionMNIST/raw",
            _TRAIN_TEST,
        ),
        DataSet(
            "flowers102",
            "Flowers102",
            tuple(f"{_OXFORD}/flowers/102/{file}" for file in ("102flowers.tgz", "imagelabels.mat", "setid.mat")),
            "flowers-102",
            {split: {"split": split} for split in ("train", "val", "test")},
        ),
        DataSet(
            "oxford-pets",
            "OxfordIIITPet",
            tuple(f"{_OXFORD}/pets/data/{file}.tar.gz" for file in ("images", "annotations")),
            "oxford-iiit-pet",
            {"train": {"split": "trainval"}, "test": {"split": "test"}},
        ),
        DataSet(
            "dtd",
            "DTD",
            (f"{_OXFORD}/dtd/download/dtd-r1.0.1.tar.gz",),
            "dtd",
            {split: {"split": split} for split in ("train", "val", "test")},  # the first of ten partitions
        ),
        DataSet(
            "aircraft",
            "FGVCAircraft",
            (f"{_OXFORD}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",),
            "",
            {split: {"split": split} for split in ("train", "val", "test")},  # classes are variants
        ),
        DataSet(
            "food101",
            "Food101",
            ("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",),
            "",
            {split: {"split": split} for split in ("train", "test")},
        ),
    )
}
