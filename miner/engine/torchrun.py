"""Processes that torchrun starts for one command: all of them compute, and the first one writes files and messages."""

import os


def is_launched() -> bool:
    """Whether this is one of several processes of a command (torchrun's RANK and WORLD_SIZE say so)."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_follower() -> bool:
    """Whether another process holds the workspace and prints the messages."""
    return is_launched() and int(os.environ["RANK"]) > 0
