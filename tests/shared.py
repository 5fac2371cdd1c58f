"""What tests of one process share: the sample, open, and the default encoder, loaded. And no test waits for the disk."""

import os
import sys
from copy import copy
from functools import cache
from typing import Any

from miner.source import Source
from miner.source.named.builtin import BUILTIN

os.fsync = lambda file: None  # what a process wrote survives its end
_open_sample = cache(BUILTIN["sample"])
_encoders: dict[tuple[Any, ...], Any] = {}


def _sample() -> Source:
    source = copy(_open_sample())
    source.entries = [*source.entries]
    return source


BUILTIN["sample"] = _sample


def share_encoder() -> None:
    """Let stages that load EfficientNet-Lite0 on the CPU get the one that was loaded first; nothing changes an encoder."""
    for name in ("miner.embed.worker", "miner.embed.encoders.embedded"):
        if (module := sys.modules.get(name)) is not None:
            module.load_encoder = _loading_once(module.load_encoder)


def _loading_once(load: Any) -> Any:
    def load_encoder(*request: Any) -> Any:
        if request[0] != "efficientnet_lite0" or request[1].type != "cpu":
            return load(*request)
        key = tuple(map(str, request))
        if key not in _encoders:
            _encoders[key] = load(*request)
        return _encoders[key]

    return load_encoder
