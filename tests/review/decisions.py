"""Decisions to write and to read."""

from miner.artifacts.decisions import Decision


def decision(number: int = 0, reviewer: str = "Ada") -> Decision:
    return Decision(
        key_a=f"a{number}",
        key_b=f"b{number}",
        decision="same",
        reviewer=reviewer,
        time="2025-03-01T12:00:00Z",
        similarity=0.9,
        slice=[0.8, 1.0],
    )
