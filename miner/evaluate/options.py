"""Options of `miner eval`."""

from pydantic import Field

from miner.options import Fraction, Options

# k and temperature: the protocols of the MoCo CIFAR demo, and of DINO (Caron et al. 2021, arXiv 2104.14294).
PROTOCOLS = ((200, 0.1), (20, 0.07))


class KnnOptions(Options):
    run: str | None = Field(
        None, description="Name of the run; the latest if not given.", json_schema_extra={"argument": True}
    )
    gallery: str | None = Field(
        None, description="Labelled source to vote from; the workspace's own source if not given."
    )
    test: str | None = Field(
        None, description="Labelled source to classify; the built-in test set, or a held-out part of the gallery."
    )
    test_fraction: Fraction = Field(
        0.2, gt=0, lt=1, description="Held-out part when there is no test set, chosen by key."
    )
    limit: int | None = Field(
        None, ge=2, description="Use only so many images of each source, chosen by key whatever their order."
    )
    batch_size: int = Field(256, ge=1, description="Images per forward pass.", json_schema_extra={"short": "-b"})
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    workers: int = Field(0, ge=0, description="Threads that decode images; 0 means one per core, at most 8.")
