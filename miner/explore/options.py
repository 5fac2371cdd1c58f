"""Options of `miner explore`."""

from miner.options import option
from miner.server.options import ServerOptions


class ExploreOptions(ServerOptions):
    """Try rules and bands on a local page: counts while you move the band, and pairs on both sides of it.

    It needs only embeddings. Nothing of the workspace changes until you choose "Use this": that writes explored.yaml, which
    `miner pairs --config` reads.
    """

    panel = "basics"

    device: str = option("auto")
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1: where images are searched."""
