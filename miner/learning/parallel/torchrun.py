"""A stage that several processes of torchrun work on together. Without them, nothing here imports torch."""

from collections.abc import Callable

from miner.engine import Record, Result, is_launched
from miner.errors import UsageError

# What the first process has, given to all: a manifest, or None.
BroadcastFromRank0 = Callable[[Record | None], Record | None]


def run_joined(work: Callable[[BroadcastFromRank0], Result], *, starts_own: bool) -> Result:
    """Do the work of a stage, joined with the other processes if torchrun has started several.

    Args:
        work: the stage; it is called with what broadcasts from the first process.
        starts_own: whether the stage was asked to start processes by itself.
    Raises:
        UsageError: both have been asked for.
    """
    if not is_launched():
        return work(lambda manifest: manifest)
    if starts_own:
        raise UsageError(
            "torchrun has started the processes of this command; leave --processes and --engine-address out."
        )
    from miner.learning.parallel.processes import broadcast_from_rank0, joined

    with joined("env://"):
        return work(broadcast_from_rank0)
