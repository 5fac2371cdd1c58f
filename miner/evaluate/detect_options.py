"""Options of `miner eval detect`."""

from miner.evaluate.network_options import NetworkOptions
from miner.options import Names, option


class DetectOptions(NetworkOptions):
    """Train the network further as the backbone of a detector, Faster R-CNN R50-C4, and find objects on test photographs.

    Photographs with boxes are FOLDER:PART, in the format of VOC or COCO. The defaults are those of MoCo on VOC 2007 + 2012. The
    control is the same command with --network random:NAME, which the command proposes. An interrupted command continues.

    \b
      miner eval detect --train VOC2007:trainval --train VOC2012:trainval --test VOC2007:test
      miner eval detect --network resnet50 --train coco:train2017 --test coco:val2017
    """

    panel = "basics"

    train: Names = option(..., metavar="FOLDER:PART")
    """Photographs to train on. FOLDER has ImageSets/Main/PART.txt, Annotations and JPEGImages (VOC), or
    annotations/instances_PART.json and photographs in PART (COCO). Several are joined."""
    test: Names = option(..., metavar="FOLDER:PART")
    """Photographs to test on, in the same format."""
    seed: int = option(0)
    """Seed of the new layers, of the order of the photographs, and of the regions that are drawn."""
    iterations: int = option(24_000, ge=1, panel="optimizer")
    """Steps of training. The learning rate falls to a tenth after 3/4 and after 11/12 of them."""
    batch_size: int = option(16, ge=1, panel="optimizer", short="-b")
    """Photographs per step. Batch norms see all of them together."""
    lr: float = option(0.02, gt=0, panel="optimizer")
    """Learning rate for a batch of 16; it scales with the batch."""
    warmup: int = option(100, ge=0, panel="optimizer")
    """Steps in which the learning rate rises."""
    smallest_side: int = option(480, ge=32, panel="network")
    """Training draws the length of the short side, in pixels, from this one, 32 more, 64 more ... up to --side."""
    side: int = option(800, ge=32, panel="network")
    """Length of the short side of test photographs, in pixels."""
    longest: int = option(1333, ge=32, panel="network")
    """Most pixels of the long side."""
    regions: int = option(512, ge=1, panel="network")
    """Regions per photograph that the head is trained on."""
    test_regions: int = option(1000, ge=1, panel="network")
    """Regions per photograph that the head sees in the test."""
    checkpoint_steps: int = option(500, ge=1, panel="processes", decides_result=False)
    """Steps between checkpoints."""

    @property
    def sides(self) -> tuple[int, ...]:
        """The lengths of the short side in training; a test takes the last."""
        return tuple(dict.fromkeys((*range(self.smallest_side, self.side, 32), self.side)))
