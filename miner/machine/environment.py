"""Versions, commit and hardware that a result was made with; the processor of this machine."""

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from miner import __version__
from miner.engine import Record

_PACKAGES = (
    *("torch", "torchvision", "timm", "onnxruntime", "openvino", "faiss-gpu", "faiss-cpu"),
    *("numpy", "pyarrow", "pillow"),
)


def environment() -> Record:
    """Versions, commit and hardware, without importing a heavy package."""
    return {
        "miner": __version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": package_versions(_PACKAGES),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
    }


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    return {name: version for name in names if (version := _package_version(name))}


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from; None outside a checkout."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # no git here
        return None
    return answer.stdout.strip() or None


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
