"""Random views of a batch of images, on the device, with other parameters for each sample."""

from miner.train.augment.small_crops import SmallCrops
from miner.train.augment.views import Augmentation

__all__ = ["Augmentation", "SmallCrops"]
