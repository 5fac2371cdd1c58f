"""Can the precision of a similarity band be estimated without labels? Every estimator of `estimators/` against labels.

    python tests/bench/precision.py --sources cifar10:10000 fashion-mnist:5000 clothing160 \\
        --encoders efficientnet_lite0 efficientnet_lite1 efficientnet_lite2 run:FOLDER random_resnet18 pixels

Per set and encoder: the duplicate ceiling of `miner calibrate`, and below it the 10 most similar pairs per image in five slices.
Each estimator is judged as it is, and after a logistic curve has been fitted to it on the other sets (leave one set out), since a
number that rises with precision is of use only if the same number means the same precision elsewhere. The bar, set beforehand:
over all encoders, sets and bands of 0.1, 1 and 10 pairs per image, mean absolute error at most 0.05 and none above 0.15.
"""

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from estimators import Estimates
from estimators.closure import closure
from estimators.empirical_null import empirical_null
from estimators.feature_groups import feature_groups, tests_on_pairs
from estimators.mixture import mixture
from estimators.pseudo_classes import pseudo_classes
from estimators.reciprocity import reciprocity
from estimators.second_encoder import second_encoder
from estimators.shared_neighbours import shared_neighbours
from estimators.view_retention import view_retention
from precision_data import PER_IMAGE, Case, load_case, short
from precision_plot import plot
from record import publish
from scipy.special import logit
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from miner.pairs.flat import nearest_neighbours
from miner.pairs.statistics import chance_precision

MEAN_BAR, WORST_BAR = 0.05, 0.15
BANDS = (0.1, 1.0, 10.0)  # pairs per image; each is a run of slices
_NEIGHBOURS = 50
_VOTE_TOP = 0.02
_OF_SEVERAL = ("second_encoder_first", "second_encoder_last", "latent_class")
_COARSER = {  # the same images with coarser classes: vehicles and animals; upper wear, trousers, shoes, bags
    "cifar10": (0, 0, 1, 1, 1, 1, 1, 1, 0, 0),
    "fashion-mnist": (0, 1, 0, 0, 0, 2, 0, 2, 3, 2),
}


def single_encoder(case: Case) -> dict[str, Estimates]:
    """What the vectors, and augmentations of the images, say on their own."""
    neighbours, _ = nearest_neighbours(case.units, _NEIGHBOURS)
    return {
        "empirical_null_normal": empirical_null(case.histogram.counts, case.ranges, "normal"),
        "empirical_null_beta": empirical_null(case.histogram.counts, case.ranges, "beta"),
        "mixture": mixture(case.histogram.counts, case.ranges),
        "shared_neighbours": shared_neighbours(neighbours, case.slices),
        "reciprocity": reciprocity(neighbours, case.slices),
        "closure": closure(len(case.units), case.slices, case.slices),
        "pseudo_classes": pseudo_classes(case.units, case.slices),
        "feature_groups": feature_groups(case.units, case.slices),
        "view_retention": view_retention(case.units, *case.viewed),
    }


def several_encoders(case: Case, others: list[Case]) -> dict[str, Estimates]:
    """What the other encoders of the same images say: the first and the last of the list, and all together."""
    return {
        "second_encoder_first": second_encoder(others[0].units, case.slices),
        "second_encoder_last": second_encoder(others[-1].units, case.slices),
        "latent_class": tests_on_pairs([other.units for other in others], case.slices, _VOTE_TOP, seed=0),
    }


def slice_precision(case: Case, labels: np.ndarray) -> Estimates:
    return np.array([np.mean(labels[a] == labels[b]) for a, b in case.slices])


def to_bands(per_slice: np.ndarray) -> np.ndarray:
    """Means over the slices that make up each band, weighted by pairs."""
    weights = np.diff(PER_IMAGE)
    ends = [PER_IMAGE.index(band) for band in BANDS]
    return np.array([np.average(per_slice[:end], weights=weights[:end]) for end in ends])


def fitted(train: np.ndarray, truth: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Precision by a logistic curve in the log-odds of one or more estimates.

    Args:
        train: estimates, (m, estimators); truth: label precision, (m,); test: (k, estimators).
    """
    features, wanted = _log_odds(train), np.repeat([1, 0], len(train))
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(np.concatenate([features] * 2), wanted, sample_weight=np.concatenate([truth, 1 - truth]))
    return model.predict_proba(_log_odds(test))[:, 1]


def _log_odds(estimates: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(estimates, 0.005, 0.995)))


def leave_out(
    cases: list[Case], estimates: list[np.ndarray], truths: list[np.ndarray], same: Callable[[Case, Case], bool]
) -> list[np.ndarray]:
    """Each case by a curve that was fitted on the cases that are not the `same` in any way."""
    results = []
    for number, case in enumerate(cases):
        others = [index for index, other in enumerate(cases) if not same(case, other)]
        train, truth = (np.concatenate([values[index] for index in others]) for values in (estimates, truths))
        results.append(fitted(train, truth, estimates[number]))
    return results


def judge(estimates: Iterable[np.ndarray], truths: list[np.ndarray]) -> dict[str, Any]:
    """Errors over all bands and slices, and rank correlations."""
    estimates = list(estimates)
    bands = np.concatenate([np.abs(to_bands(e) - to_bands(t)) for e, t in zip(estimates, truths, strict=True)])
    slices = np.concatenate([np.abs(e - t) for e, t in zip(estimates, truths, strict=True)])
    within = [_rank_correlation(e, t) for e, t in zip(estimates, truths, strict=True)]
    return {
        "band_mean_error": _rounded(bands.mean()),
        "band_worst_error": _rounded(bands.max()),
        "slice_mean_error": _rounded(slices.mean()),
        "slice_worst_error": _rounded(slices.max()),
        "rank_correlation": _rounded(_rank_correlation(np.concatenate(estimates), np.concatenate(truths))),
        "rank_correlation_within_a_case": _rounded(np.mean(within)),
        "meets_the_bar": bool(bands.mean() <= MEAN_BAR and bands.max() <= WORST_BAR),
    }


def _rank_correlation(estimates: np.ndarray, truth: np.ndarray) -> float:
    return float(np.nan_to_num(spearmanr(estimates, truth).statistic)) if np.ptp(estimates) > 0 else 0.0


def _rounded(value: Any) -> Any:
    return np.round(np.asarray(value, np.float64), 4).tolist()


def case_record(case: Case, truth: np.ndarray, columns: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Ceiling, chance, and the whole table of one case."""
    record = {
        "case": case.name,
        "images": len(case.units),
        "dim": case.units.shape[1],
        "ceiling": case.ceiling,
        "pairs_per_image_above_ceiling": _rounded(case.histogram.pairs_between(case.ceiling, 1.0) / len(case.units)),
        "chance": _rounded(chance_precision(case.labels)),
        "slice_min": _rounded([low for low, _ in case.ranges]),
        "label_precision": {"slices": _rounded(truth), "bands": _rounded(to_bands(truth))},
        "estimates": {
            name: {
                way: {"slices": _rounded(e), "bands": _rounded(to_bands(e))}
                for way, e in ways.items()
                if way != "other_sets_and_encoders"
            }
            for name, ways in columns.items()
        },
    }
    if mapping := _COARSER.get(_set(case)):
        coarse = slice_precision(case, np.array(mapping)[case.labels])
        record["label_precision_with_coarser_classes"] = {"bands": _rounded(to_bands(coarse))}
    return record


def _set(case: Case) -> str:
    return case.name.rpartition("-")[0]


def _network(case: Case) -> str:
    return case.name.rpartition("-")[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", required=True, help="SOURCE or SOURCE:LIMIT, with labels")
    parser.add_argument("--encoders", nargs="+", required=True, help="of miner embed, and random_resnet18, pixels")
    parser.add_argument("--cache", type=Path, default=Path("datasets_out/precision"))
    parser.add_argument("--plot", type=Path, default=Path("docs/precision.png"))
    options = parser.parse_args()

    cases: list[Case] = []
    raw: list[dict[str, Estimates]] = []
    for source in options.sources:
        name, limit = re.fullmatch(r"(.+?)(?::(\d+))?", source).groups()
        group = [load_case(name, encoder, int(limit or 10**9), options.cache) for encoder in options.encoders]
        for case in group:
            others = [other for other in group if other is not case]
            raw.append(single_encoder(case) | several_encoders(case, others))
            print(case.name, {key: value.round(3).tolist() for key, value in raw[-1].items()}, flush=True)
        cases += group

    truths = [slice_precision(case, case.labels) for case in cases]
    features = {name: [estimates[name][:, None] for estimates in raw] for name in raw[0]}
    alone = [name for name in raw[0] if name not in _OF_SEVERAL]
    features["all_of_one_encoder"] = [np.stack([estimates[name] for name in alone], 1) for estimates in raw]
    features["everything"] = [np.stack(list(estimates.values()), 1) for estimates in raw]
    features["constant"] = [np.full((len(truth), 1), 0.5) for truth in truths]
    ways: dict[str, dict[str, list[np.ndarray]]] = {}
    for name, values in features.items():
        ways[name] = {"as_is": [value[:, 0] for value in values]} if values[0].shape[1] == 1 else {}
        ways[name]["other_sets"] = leave_out(cases, values, truths, lambda x, y: _set(x) == _set(y))
        ways[name]["other_sets_and_encoders"] = leave_out(
            cases, values, truths, lambda x, y: _set(x) == _set(y) or _network(x) == _network(y)
        )
    summary = {name: {way: judge(values, truths) for way, values in found.items()} for name, found in ways.items()}
    plot(
        options.plot,
        cases,
        [to_bands(t) for t in truths],
        {n: [to_bands(e) for e in w["other_sets"]] for n, w in ways.items()},
    )
    publish(
        "precision",
        {
            "bar": {"band_mean_error": MEAN_BAR, "band_worst_error": WORST_BAR, "way": "other_sets"},
            "pairs_per_image": {"slices": PER_IMAGE, "bands": BANDS},
            "encoders": [short(name) for name in options.encoders],
            "kept": [name for name, found in summary.items() if found["other_sets"]["meets_the_bar"]],
            "summary": summary,
            "cases": [
                case_record(
                    case, truth, {name: {way: e[number] for way, e in found.items()} for name, found in ways.items()}
                )
                for number, (case, truth) in enumerate(zip(cases, truths, strict=True))
            ],
        },
    )


if __name__ == "__main__":
    main()
