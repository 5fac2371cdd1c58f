"""Several processes that run one command, as torchrun starts them: all of them compute, the first one writes and speaks."""

import os


def is_launched() -> bool:
    """Whether this is one of several processes of a command (torchrun's RANK and WORLD_SIZE say so)."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_follower() -> bool:
    """Whether another process holds the workspace and speaks for this one."""
    return is_launched() and int(os.environ["RANK"]) > 0
