"""Options that only a look at the machine, or at what a folder was begun with, can settle."""

import sys
from pathlib import Path

from miner.embed.options import EmbedOptions
from miner.engine.records import Record, read_json
from miner.errors import UsageError

BATCH_SIZE = "batch_size"


def without_impossible(options: EmbedOptions) -> EmbedOptions:
    """The options without `compile` where there is no compiler, which is said in a line.

    Raises:
        UsageError: options that contradict each other.
    """
    if options.batch_size == 0 and options.engine_address is not None:
        raise UsageError(
            "--batch-size 0 tries sizes on this machine, which says nothing about the cluster's. Name a batch size."
        )
    if not options.compile:
        return options
    if options.batch_size == 0:
        raise UsageError(
            "--compile makes a program for one batch size, so --batch-size 0 does not go with it. Name one."
        )
    from miner.learning.compiling import why_not
    from miner.machine.device import resolve_device, resolve_devices

    reason = why_not(resolve_device(resolve_devices(options.device)[0]))
    if reason is None:
        return options
    print(f"embed: --compile is left out: {reason}", file=sys.stderr, flush=True)
    return options.model_copy(update={"compile": False})


def with_batch_size(options: EmbedOptions, request: Record, folder: Path) -> tuple[EmbedOptions, Record]:
    """The batch size that embeddings were begun with goes on, if a probe found it; it is in their request then.

    Args:
        options: as given.
        request: without a batch size.
        folder: of the embeddings.
    Returns:
        The options with it, and the request. A batch size of 0 in both says that there is one to be found.
    """
    begun = read_json(folder / "request.json") or (read_json(folder / "manifest.json") or {}).get("request")
    if begun and _but_for_size_and_growth(begun) == _but_for_size_and_growth(request):
        found = begun.get(BATCH_SIZE)
        if options.batch_size in (None, 0, found):
            options = options.model_copy(update={BATCH_SIZE: found})
            return options, ({**request, BATCH_SIZE: found} if found else request)
    return options, ({**request, BATCH_SIZE: 0} if options.batch_size == 0 else request)


def _but_for_size_and_growth(request: Record) -> Record:
    return {**request, BATCH_SIZE: None, "source_fingerprint": None}
