import numpy as np

from miner.artifacts.pairs.band import Band


def test_band_contains_both_ends():
    cosines = np.array([0.5, np.nextafter(0.75, 1), 0.75, np.nextafter(0.5, 0), 0.6])

    assert Band(0.5, 0.75).contains(cosines).tolist() == [True, False, True, False, True]


def test_band_record_round_trip_keeps_numbers():
    band = Band(0.1 + 0.2, 1)

    assert band.record() == {"min": 0.1 + 0.2, "max": 1}
    assert Band.from_record(band.record()) == band


def test_band_text_is_short():
    assert f"{Band(0.97, 0.99)}" == "0.97 to 0.99"
