"""Data sets on the Hugging Face Hub: `hf://datasets/ORG/NAME`. fsspec reads them through huggingface_hub."""

from miner.errors import MinerError, install_extra

_PREFIX = "hf://"


def is_hub(spec: str) -> bool:
    """Whether a source is on the Hugging Face Hub."""
    return spec.startswith(_PREFIX)


def hub_error(spec: str, error: Exception) -> MinerError:
    """The error for people about a repository that cannot be opened."""
    if isinstance(error, ImportError):
        return MinerError(f"{spec} needs the package huggingface_hub. Install it with: {install_extra('hub')}")
    if isinstance(error, FileNotFoundError):
        return MinerError(
            f"There is no {spec} on the Hugging Face Hub, or it is private. Check the name (hf://datasets/ORG/NAME), or log "
            "in with `hf auth login`."
        )
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    repository = "/".join(spec.removeprefix(_PREFIX).removeprefix("datasets/").split("/")[:2])
    return MinerError(
        f"{spec} cannot be read from huggingface.co ({reason}). Check the network connection, or download it elsewhere with "
        f"`hf download --repo-type dataset {repository} --local-dir FOLDER` and name that folder."
    )
