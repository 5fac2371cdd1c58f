"""The band: which cosines make a pair."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Band:
    """A closed interval of cosines. Two images with a cosine in the band are a pair, above the band near-duplicates."""

    low: float
    high: float

    @classmethod
    def from_record(cls, record: dict[str, float]) -> "Band":
        """The band in a manifest or in `calibration.json`; ValueError if the record is no band."""
        try:
            return cls(float(record["min"]), float(record["max"]))
        except (KeyError, TypeError):
            raise ValueError("a band has two numbers, min and max") from None

    def record(self) -> dict[str, float]:
        """The band as JSON values."""
        return {"min": self.low, "max": self.high}

    def contains(self, cosines: "NDArray[np.floating]") -> "NDArray[np.bool_]":
        """Whether each cosine lies in the band, both ends included."""
        return (cosines >= self.low) & (cosines <= self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


BandRecord = Annotated[Band, BeforeValidator(Band.from_record)]  # a field of a typed manifest
