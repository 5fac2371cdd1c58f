"""The processor of this machine."""

import platform
from functools import cache
from pathlib import Path


def processor_name() -> str:
    """The processor as the operating system names it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """The instruction sets of the processor, as Linux names them; empty on other systems."""
    return frozenset((_cpuinfo().get("flags") or _cpuinfo().get("Features", "")).split())


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says about the first core: name -> value."""
    path = Path("/proc/cpuinfo")
    first_core = path.read_text().split("\n\n")[0] if path.exists() else ""
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first_core.splitlines())}
