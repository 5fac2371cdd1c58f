"""What a person chooses on the page, as options of `miner pairs`: read, written as a command, and saved."""

import json
import shlex
from typing import Any

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.rule import NEIGHBORS, Rule
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine import write_bytes
from miner.errors import UsageError
from miner.explore.searched_images import LISTED
from miner.options import flag_name
from miner.pairs.calibration.summary import recommended, replacing
from miner.pairs.options import PairsOptions

_NAMES = ("rule", "neighbors", "local", "shared", "min", "max")


def read_choice(text: str | None) -> PairsOptions:
    """The options in JSON that the page has sent: a rule with its numbers, and the band.

    Raises:
        UsageError: they are something else, or a rule looks at more neighbours than are known.
    """
    try:
        values = json.loads(text or "")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not {"rule", "max"} <= values.keys() <= {*_NAMES}:
        raise UsageError(f"A choice is a JSON object with rule, max, and perhaps others of {', '.join(_NAMES)}.")
    options = PairsOptions.parse(values)
    if options.chosen_rule.listed > LISTED:
        raise UsageError(
            f"This page knows {LISTED} neighbours of each image; `miner pairs` takes more. Give fewer neighbours."
        )
    return options


def band_of(options: PairsOptions) -> Band:
    """The lowest and the highest cosine of a choice, which always names the highest."""
    low, high = options.limits
    return Band(low, 1.0 if high is None else high)


def given(options: PairsOptions) -> dict[str, Any]:
    """The options that were chosen, by name."""
    return {name: value for name in _NAMES if (value := getattr(options, name)) is not None}


def flags(options: PairsOptions) -> str:
    """The options as the command line takes them."""
    words = (
        (flag_name(name), value if isinstance(value, str) else f"{value:g}") for name, value in given(options).items()
    )
    return "".join(f" {flag} {value}" for flag, value in words)


def first_choices(workspace: Workspace, embeddings: EmbeddingsManifest) -> list[dict[str, Any]]:
    """Where the page begins, and what it offers to return to: what was mined, and what was calibrated."""
    mined, calibrated = PairsManifest.find(workspace, of=embeddings), CalibrationRecord.find(workspace, of=embeddings)
    found = []
    if mined and mined.request.rule != "table":
        asked = mined.request
        rule = Rule(asked.rule, asked.neighbors or NEIGHBORS, asked.local, asked.shared)
        found += [{"name": "as mined", "choice": _choice(rule, asked.band)}] if rule.listed <= LISTED else []
    if calibrated:
        rule, band = recommended(calibrated).chosen_rule, calibrated.band
        only_high = Band(-1.0, band.high)
        found.append({"name": "as calibrated", "choice": _choice(rule, band if rule.name == "band" else only_high)})
    return found


def _choice(rule: Rule, band: Band) -> dict[str, Any]:
    numbers = {} if rule.name == "band" else {name: value for name, value in rule.record().items() if name in _NAMES}
    low = {"min": band.low} if rule.name == "band" or band.low > -1 else {}
    return {"rule": rule.name, **numbers, **low, "max": band.high}


def lowest_cosine(workspace: Workspace, embeddings: EmbeddingsManifest) -> float | None:
    """The lower end of the calibrated band; None without a calibration."""
    calibrated = CalibrationRecord.find(workspace, of=embeddings)
    return calibrated.band.low if calibrated else None


def command_of(options: PairsOptions, workspace: Workspace, embeddings: str, saved: bool = False) -> str:
    """The command that mines by this choice, with its options or with the file that holds them.

    Args:
        embeddings: the identity of the embeddings.
    """
    asked = f" --config {shlex.quote(str(workspace.explored))}" if saved else flags(options)
    return f"miner pairs{asked}{workspace_flag(workspace)}{replacing(options, band_of(options), embeddings, workspace)}"


def save_choice(options: PairsOptions, workspace: Workspace, embeddings: str) -> str:
    """Write `explored.yaml`; returns the command that mines by it."""
    command = command_of(options, workspace, embeddings, saved=True)
    lines = [f"# Chosen with `miner explore`. To mine by it: {command}"]
    lines += [f"{name}: {value}" for name, value in given(options).items()]
    with workspace.writing():
        write_bytes(workspace.explored, "\n".join([*lines, ""]).encode("utf-8", "backslashreplace"))
    return command
