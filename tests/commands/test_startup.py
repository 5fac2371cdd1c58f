"""What each command imports: the libraries that it needs, and no others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OLD_WORKSPACE = Path(__file__).parents[1] / "data" / "old_workspace"
# Each runs after those before it in one process. The number is the most modules then, without those of torch and pandas, which
# pyarrow imports where it is installed.
COMMANDS = {
    "--help": 420,
    "encoders": 570,
    "status -w W": 710,
    "verify W": 810,
    "report -w W --force": 880,
    "pairs -w W --min 0.7 --max 0.95 --force": 1030,
    "doctor": 1090,
}
_LAST_WITHOUT_TORCH = "report"
_EVERYWHERE = {"torchvision", "timm", "matplotlib", "sklearn", "scipy", "ray", "onnx", "onnxruntime", "openvino"} | {
    *("torch._dynamo", "torch._inductor", "sympy", "tensorboard", "rich", "uvicorn", "umap", "torch_geometric")
}
_IN_HELP = {"numpy", "pyarrow", "PIL", "yaml", "fsspec", "huggingface_hub", "asyncio", "ssl"}
PROGRAM = """
import json, sys
from miner.commands.app import app
for line in sys.argv[1:]:
    app(line.split(), standalone_mode=False)
    print("MODULES", json.dumps([*sys.modules]))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The modules after each command, by its first word."""
    workspace = tmp_path_factory.mktemp("startup") / "w"
    shutil.copytree(OLD_WORKSPACE, workspace)
    lines = [words.replace("W", str(workspace)) for words in COMMANDS]
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *lines], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = [
        json.loads(line.removeprefix("MODULES ")) for line in ran.stdout.splitlines() if line.startswith("MODULES")
    ]
    return {words.split()[0]: set(modules) for words, modules in zip(COMMANDS, found, strict=True)}


def test_no_command_imports_what_it_does_not_need(loaded: dict[str, set[str]]) -> None:
    without_torch = True
    for command, modules in loaded.items():
        assert not modules & _EVERYWHERE, command
        assert not (without_torch and modules & {"torch", "faiss"}), command
        without_torch = without_torch and command != _LAST_WITHOUT_TORCH
    assert not loaded["--help"] & {*_IN_HELP, "faiss"}
    assert "torch" in loaded["pairs"] and "faiss" not in loaded["pairs"] and "faiss" in loaded["doctor"]


def test_commands_import_few_modules(loaded: dict[str, set[str]]) -> None:
    for most, (command, modules) in zip(COMMANDS.values(), loaded.items(), strict=True):
        counted = [name for name in modules if name.partition(".")[0] not in ("torch", "pandas")]
        assert len(counted) < most, command
