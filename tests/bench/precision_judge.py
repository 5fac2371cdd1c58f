"""How `precision.py` judges an estimator: curves fitted on other sets, errors against labels, the bar."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from estimators import Estimates
from precision_data import PER_IMAGE, Case
from scipy.special import logit
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

MEAN_BAR, WORST_BAR = 0.05, 0.15
BANDS = (0.1, 1.0, 10.0)  # pairs per image; each is a run of slices
TOLD_CHANCE = "told_chance"  # how the estimators end that are not label-free
Ways = dict[str, dict[str, list[np.ndarray]]]


def all_ways(cases: list[Case], raw: list[dict[str, Estimates]], truths: list[np.ndarray]) -> Ways:
    """Each estimator as it is, and by curves fitted on the other sets, or on the other sets with other encoders.

    Args:
        cases, raw, truths: line by line, the estimates and the label precision of each slice.
    Returns:
        by estimator and way, the estimates of each case.
    """
    features = {name: [estimates[name][:, None] for estimates in raw] for name in raw[0]}
    label_free = [name for name in raw[0] if not name.endswith(TOLD_CHANCE)]
    alone = [name for name in label_free if not name.startswith(("second_encoder", "latent_class"))]
    features["all_of_one_encoder"] = [np.stack([estimates[name] for name in alone], 1) for estimates in raw]
    features["everything"] = [np.stack([estimates[name] for name in label_free], 1) for estimates in raw]
    features["constant"] = [np.full((len(truth), 1), 0.5) for truth in truths]
    ways: Ways = {}
    for name, values in features.items():
        ways[name] = {"as_is": [value[:, 0] for value in values]} if values[0].shape[1] == 1 else {}
        ways[name]["other_sets"] = leave_out(cases, values, truths, lambda x, y: set_of(x) == set_of(y))
        ways[name]["other_sets_and_encoders"] = leave_out(
            cases, values, truths, lambda x, y: set_of(x) == set_of(y) or encoder_of(x) == encoder_of(y)
        )
    return ways


def summary(ways: Ways, truths: list[np.ndarray]) -> dict[str, dict[str, Any]]:
    return {name: {way: judge(values, truths) for way, values in found.items()} for name, found in ways.items()}


def kept(judged: dict[str, dict[str, Any]]) -> list[str]:
    """Label-free estimators that meet the bar, as they are or fitted on the other sets."""
    return [
        name
        for name, found in judged.items()
        if not name.endswith(TOLD_CHANCE)
        and any(found[way]["meets_the_bar"] for way in ("as_is", "other_sets") if way in found)
    ]


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
        "band_mean_error": rounded(bands.mean()),
        "band_worst_error": rounded(bands.max()),
        "slice_mean_error": rounded(slices.mean()),
        "slice_worst_error": rounded(slices.max()),
        "rank_correlation": rounded(_rank_correlation(np.concatenate(estimates), np.concatenate(truths))),
        "rank_correlation_within_a_case": rounded(np.mean(within)),
        "meets_the_bar": bool(bands.mean() <= MEAN_BAR and bands.max() <= WORST_BAR),
    }


def _rank_correlation(estimates: np.ndarray, truth: np.ndarray) -> float:
    return float(np.nan_to_num(spearmanr(estimates, truth).statistic)) if np.ptp(estimates) > 0 else 0.0


def rounded(value: Any) -> Any:
    return np.round(np.asarray(value, np.float64), 4).tolist()


def set_of(case: Case) -> str:
    return case.name.rpartition("-")[0]


def encoder_of(case: Case) -> str:
    return case.name.rpartition("-")[2]
