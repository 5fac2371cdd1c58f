"""A stage on several processes that torchrun has started. Without torchrun, nothing here imports torch."""

from collections.abc import Callable

from miner.engine import Record, Result
from miner.engine.units import is_launched
from miner.errors import UsageError

# Gives every process the manifest, or None, that the first process has.
BroadcastFromRank0 = Callable[[Record | None], Record | None]


def run_joined(work: Callable[[BroadcastFromRank0], Result], *, starts_own: bool) -> Result:
    """Do the work of a stage, together with the other processes if torchrun has started several.

    Args:
        work: the stage, called with a function that broadcasts from the first process.
        starts_own: whether the stage starts processes by itself.
    Raises:
        UsageError: the stage starts processes, and torchrun has started some.
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
