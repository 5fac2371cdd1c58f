"""Units on a Ray cluster. Actors run them; an actor that dies is replaced, and its unit runs again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from miner.engine.units import Unit
from miner.errors import MinerError, UsageError, install_extra


@dataclass(frozen=True)
class RayExecutor:
    """Runs units on Ray actors. Actors stay alive, so a model that one unit loaded serves the next unit.

    The actors write the files, so all machines must see the workspace and the source under the same paths.

    Args:
        address: `auto` for the running cluster (or a new local one), or ray://HOST:PORT.
        gpus_per_worker: 1 gives each actor a GPU of its own if the cluster has GPUs.
        workers: number of actors; by default one per GPU, or one per CPU.
        tries: actors that may die with one unit before the work stops.
    """

    address: str
    gpus_per_worker: int = 0
    workers: int | None = None
    tries: int = 6

    def run(self, units: Sequence[Unit]) -> Iterator[Unit]:
        try:
            import ray
        except ImportError:
            raise UsageError(f"--engine-address needs Ray: {install_extra('ray')}") from None
        if not ray.is_initialized():
            connect(ray, self.address)
        actor, count = self._actor(ray)
        pool = [actor.remote() for _ in range(min(count, len(units)))]
        waiting = list(reversed(range(len(units))))
        busy: dict[Any, tuple[int, Any]] = {}
        tries = [0] * len(units)
        while waiting or busy:
            while waiting and pool:
                number, worker = waiting.pop(), pool.pop()
                tries[number] += 1
                busy[worker.execute.remote(units[number])] = (number, worker)
            for answer in ray.wait(list(busy), num_returns=1)[0]:
                number, worker = busy.pop(answer)
                try:
                    ray.get(answer)
                except ray.exceptions.RayActorError as error:
                    if tries[number] == self.tries:
                        raise MinerError(
                            f"The unit {units[number].id} lost its worker {tries[number]} times (out of memory?). What was "
                            "finished is kept; the same command continues."
                        ) from error
                    waiting.append(number)
                    pool.append(actor.remote())
                except ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, MinerError) else error from None
                else:
                    pool.append(worker)
                    yield units[number]

    def _actor(self, ray: Any) -> tuple[Any, int]:
        """The actor class with its resources, and how many actors to start."""
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if self.gpus_per_worker else 0
        share = {"num_cpus": 1, "num_gpus": 1} if gpus else {"num_cpus": 1}
        count = self.workers or gpus or int(resources.get("CPU", 1))
        return ray.remote(_Worker).options(**share), count


class _Worker:
    def execute(self, unit: Unit) -> None:
        unit.execute()


def connect(ray: Any, address: str) -> None:
    """Join the cluster at an address. If none runs, `auto` starts a local one.

    Raises:
        MinerError: no cluster answers.
    """
    try:
        try:
            ray.init(address=address, log_to_driver=False)
        except ConnectionError:
            if address != "auto":
                raise
            ray.init(log_to_driver=False)
    except Exception as error:  # Ray raises many kinds
        raise MinerError(
            f"No Ray cluster answers at {address} ({' '.join(str(error).split())[:200]}). Start one with `ray start --head`, or "
            "leave --engine-address out to work on this machine alone."
        ) from error
