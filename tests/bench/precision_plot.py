"""The picture of `precision.py`: estimated against label precision, one panel per estimator."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from precision_data import Case

_COLOURS = ("#5b7c99", "#e8a33d", "#7a9e4f", "#b0527a")
_MARKERS = "osD^vP*X"
_COLUMNS = 5


def plot(path: Path, cases: list[Case], truths: list[np.ndarray], estimates: dict[str, list[np.ndarray]]) -> None:
    """Every band of every case: a colour per set, a marker per encoder; the diagonal is right, the strip is +-0.05.

    Args:
        path: PNG to write.
        cases: one per set and encoder.
        truths: label precision per band, for each case.
        estimates: by estimator, the same shape.
    """
    sets, encoders = (list(dict.fromkeys(case.name.rpartition("-")[part] for case in cases)) for part in (0, 2))
    rows = -(-len(estimates) // _COLUMNS)
    figure = Figure(figsize=(2.6 * _COLUMNS, 2.7 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, (name, values) in zip(panels, estimates.items(), strict=False):
        panel.fill_between([0, 1], [-0.05, 0.95], [0.05, 1.05], color="#dddddd", linewidth=0)
        for case, truth, value in zip(cases, truths, values, strict=True):
            group, _, encoder = case.name.rpartition("-")
            colour, marker = _COLOURS[sets.index(group)], _MARKERS[encoders.index(encoder)]
            panel.plot(truth, value, marker, color=colour, markersize=4, alpha=0.8, linestyle="none")
        panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        panel.set_title(name.replace("_", " "), fontsize=9)
    for panel in panels[len(estimates) :]:
        panel.set_visible(False)
    handles = [Line2D([], [], color=colour, linewidth=4, label=s) for s, colour in zip(sets, _COLOURS, strict=False)]
    handles += [
        Line2D([], [], color="#444444", marker=marker, linestyle="none", label=encoder)
        for encoder, marker in zip(encoders, _MARKERS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8, frameon=False)
    figure.supxlabel("precision by labels", fontsize=9)
    figure.supylabel("estimated, curve fitted on the other sets", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
