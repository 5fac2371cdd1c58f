"""Options of `miner leaks`."""

from typing import Literal

from miner.options import Cosine, MemorySize, Options, option

# From the surest to the least sure.
KINDS = ("bytes", "pixels", "near", "scene")
Kind = Literal["bytes", "pixels", "near", "scene"]


class LeaksOptions(Options):
    """Find images that two or more sets share: copies of every kind, and the same scene. Exit code 3 if there are any.

    Each image that another set holds is shown beside it on one page, in groups. Name the set that may lose images first: an image
    is to be removed from a set if a later set holds it. The list of these images is remove-1.txt, for the first set.

    Sets that are not embedded yet are embedded below the workspace (-w), once. What a kind is, is in docs/leaks.md.

    \b
      miner leaks photos/train photos/test            two folders
      miner leaks photos                              the splits in a folder
      miner leaks cifar10 cifar10:test                two parts of a data set with a name
      miner leaks photos/train photos/val photos/test
      miner leaks datasets_out/a datasets_out/b       workspaces that are embedded already
      miner leaks photos/train photos/test --up-to pixels && echo no exact copy
    """

    panel = "basics"

    sources: list[str] = option(..., argument=True, metavar="SETS", decides_result=False)
    """TRAIN, TEST and further sets: folders, shards, Parquet files, hf://datasets/ORG/NAME, names such as cifar10:test,
    or workspaces. Or one data set with splits, such as a folder with train/ and test/, or a file with a column split."""
    up_to: Kind = option("scene")
    """The least sure kind that counts. bytes: the same file; nothing is embedded. pixels: the same pixels in another file. near:
    re-encoded, resized, mirrored, cropped, recoloured. scene: as similar as two augmentations of one image."""
    encoder: str | None = option(
        None, decides_result=False, shown_default="that of the workspaces, or efficientnet_lite0"
    )
    """Frozen network, as of `miner embed`."""
    ceiling: Cosine | None = option(None, shown_default="calibrated")
    """Cosine above which two images show the same scene. If not given: the median cosine of two mild augmentations of one image of
    the first set, as `miner calibrate` measures it."""
    device: str = option("auto", decides_result=False)
    """auto (every GPU, else the CPU), cpu, cuda or mps."""
    memory: MemorySize | None = option(None, decides_result=False)
    """Memory for the search, as of `miner pairs`. Vectors that do not fit are read again from disk."""

    @property
    def first_device(self) -> str:
        """The device of all work that takes one alone."""
        return self.device.partition(",")[0]
