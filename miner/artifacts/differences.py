"""What differs between two requests, in words: options by their flags with both values, everything else by what it is."""

import json
import re
from typing import Any

from miner.engine import Record
from miner.options import flag_name

_FINGERPRINT = re.compile("[0-9a-f]{16,64}")
_LONGEST = 60
# Fields of requests that are no options: fingerprints of what was read, then plain values.
_READ = {
    "source_fingerprint": "images",
    "inputs": "images or pairs to train on",
    "init_from": "weights to start from",
    "workspace_images": "images of the workspace",
    "sources": "labelled images",
    "weights": "weights of the run",
    "run_files": "files of the run",
    "refined": "refined embeddings",
    "test_embeddings": "test images",
    "encoder_files": "files of the encoder",
    "rejected": "decisions of reviewers",
    "vectors_files": "vectors",
    "names": "keys or labels of the vectors",
    "table": "pairs of --table",
    "against": "vectors of --against",
    "agree": "embeddings of --agree, or their bands,",
}
_PLAIN = {
    "source": "SOURCE",
    "images_from": "the place of the images",
    "miner_version": "the version of miner",
    "arithmetic": "the arithmetic of this version of miner",
}


def differences(old: Record, new: Record) -> str:
    """The fields of two requests that differ, for people."""
    old, new = map(_with_band_as_options, (old, new))
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    said = [name for name in names if not _is_off(old.get(name)) or not _is_off(new.get(name))] or names
    return ", ".join(_difference(name, old.get(name), new.get(name)) for name in said)


def _with_band_as_options(request: Record) -> Record:
    band = request.get("band")
    return {**request, **band, "band": None} if isinstance(band, dict) else request


def _difference(name: str, old: Any, new: Any) -> str:
    if _is_fingerprint(old) or _is_fingerprint(new):
        return f"the {_READ.get(name, name.replace('_', ' '))} are others"
    return f"{_PLAIN.get(name, flag_name(name))} was {_in_words(old)} and is now {_in_words(new)}"


def _is_off(value: Any) -> bool:
    """Whether a switch is off, or absent: both are `not given` in words."""
    return value is None or value is False


def _is_fingerprint(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_fingerprint, value.values()))
    return isinstance(value, str) and _FINGERPRINT.fullmatch(value) is not None


def _in_words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "given" if value else "not given"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
