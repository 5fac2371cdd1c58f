"""How views are made, by name; without torch, because the command line shows the names."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SMALL_SIDE = 96
MIN_LOCAL_AREA = 0.05


@dataclass(frozen=True)
class ViewSettings:
    """Random resized crop, flip, colour jitter, grey, blur and solarise.

    Attributes:
        area: smallest and largest share of the image that a view shows.
        jitter: the strength of the jitter of brightness, contrast, saturation and hue.
        jittered, grey, blur, solarise: shares of first and of second views with that jitter, in grey, blurred and solarised.
    """

    area: tuple[float, float] = (0.08, 1.0)
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    blur: tuple[float, float] = (0.0, 0.0)
    solarise: tuple[float, float] = (0.0, 0.0)
    jittered: tuple[float, float] = (0.8, 0.8)
    grey: tuple[float, float] = (0.2, 0.2)


PLAIN = ViewSettings()

AUGMENTATIONS: Mapping[str, ViewSettings] = MappingProxyType(
    {
        # He et al. 2020, CIFAR demo.
        "plain": PLAIN,
        # Chen et al. 2020, arXiv 2003.04297; SimSiam.
        "moco": ViewSettings(area=(0.2, 1.0), blur=(0.5, 0.5)),
        # Chen et al. 2020, arXiv 2002.05709, with the strength 1.
        "simclr": ViewSettings(jitter=(0.8, 0.8, 0.8, 0.2), blur=(0.5, 0.5)),
        # Grill et al. 2020, arXiv 2006.07733, table 6; Barlow Twins, VICReg, DINO.
        "byol": ViewSettings(jitter=(0.4, 0.4, 0.2, 0.1), blur=(1.0, 0.1), solarise=(0.0, 0.2)),
        # The byol views with both alike, as solo-learn and lightly use them for VICReg.
        "symmetric": ViewSettings(jitter=(0.4, 0.4, 0.2, 0.1), blur=(0.5, 0.5), solarise=(0.1, 0.1)),
        # The byol views without blur, as solo-learn uses them for images of 32 pixels.
        "solarise": ViewSettings(jitter=(0.4, 0.4, 0.2, 0.1), solarise=(0.0, 0.2)),
        # The moco views, of which the second is only cropped and flipped: MNN (arXiv 2311.00562).
        "weak-second": ViewSettings(area=(0.2, 1.0), blur=(0.5, 0.0), jittered=(0.8, 0.0), grey=(0.2, 0.0)),
    }
)
