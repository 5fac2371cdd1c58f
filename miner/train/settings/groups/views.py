"""How views are made."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from miner.options import option
from miner.train.settings.groups.basics import BasicOptions

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class ViewOptions(BasicOptions):
    """The options on views."""

    panel = "views"

    augmentation: Literal["auto", "plain", "moco", "simclr", "byol", "symmetric", "solarise", "weak-second"] = option(
        "auto"
    )
    """How views are made. plain: crops and colours. moco: with blur, for 96 px or more. simclr: twice the colour jitter, and
    blur. byol: one view is blurred, the other is sometimes solarised. symmetric: byol with equal chances for both views.
    solarise: byol without blur. weak-second: moco, with second views that are only cropped and flipped. auto: plain below 96 px,
    else byol for byol, vicreg, barlow, dino, patchmix and graphnnclr, weak-second for mnn, and moco for the others."""
    least_area: Share | None = option(None)
    """Smallest share of an image that a view shows. If not given: 0.08, 0.2 for moco views, and with local crops 0.4 for a ViT
    and 0.14 for a ResNet. A larger share keeps more of the object in both views."""
    local_crops: int = option(0, ge=0)
    """dino and patchmix: local crops of each item. The student gets them beside the two views; the teacher does not. The authors
    take 8. The work is then about twice as much."""
    local_size: int | None = option(None, ge=1)
    """Side of a local crop in pixels. If not given: 3/7 of the view (96 at 224 px)."""

    @model_validator(mode="after")
    def _give_crops_to_their_methods(self) -> Self:
        if self.method not in ("dino", "patchmix") and (self.local_crops or self.local_size):
            raise ValueError(
                f"--local-crops and --local-size are not options of {self.method}; they belong to dino and patchmix"
            )
        if self.local_size and not self.local_crops:
            raise ValueError("--local-size has no meaning without --local-crops")
        return self
