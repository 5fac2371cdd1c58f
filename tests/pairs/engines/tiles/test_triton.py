"""The Triton kernels without a GPU: their results in the interpreter, and that they compile for the supported GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton comes with PyTorch for Linux only")

HERE = Path(__file__).parent

COMPILE = """
import json, sys, subprocess, tempfile
from pathlib import Path
import triton
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from miner.pairs.engines.tiles.triton_kernels import mark_pairs, multiply_pairs, write_marked_pairs
from miner.pairs.engines.tiles.triton import FULL_PRECISION, HALF_PRECISION

WORDS = [["tt.divisibility", 16]]

def types(kernel, changed):
    return {name: "constexpr" if name in changed and not isinstance(changed[name], str) else changed.get(name, "i32")
            for name in kernel.arg_names}

def resources(kernel, given, options):
    signature = types(kernel, given)
    constants = {name: value for name, value in given.items() if signature[name] == "constexpr"}
    aligned = {(place,): WORDS for place, (name, kind) in enumerate(signature.items())
               if kind.startswith("*") or name in ("dims", "left_stride", "right_stride")}
    source = ASTSource(kernel, signature, constants, aligned)
    built = triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built.asm["cubin"])
        file.flush()
        tool = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
        used = subprocess.run([tool, "--dump-resource-usage", file.name], check=True, capture_output=True, text=True)
    line = next(line for line in used.stdout.splitlines() if "REG:" in line)
    values = dict(field.split(":") for field in line.split() if ":" in field)
    return {"spilled_bytes": int(values["STACK"]), "shared_bytes": built.metadata.shared,
            "tensor_cores": "mma" in built.asm["ptx"]}

rows = {"left_start": "i64", "right_start": "i64"}
report = {}
for name, shape in (("fp16", HALF_PRECISION), ("bf16", HALF_PRECISION), ("fp32", FULL_PRECISION)):
    for even, by_row in ((True, False), (False, False), (True, True)):
        report[f"{name} {even} {by_row}"] = resources(mark_pairs, {
            "left": "*" + name, "right": "*" + name, "counts": "*u8", "words": "*i32", "shift": "i64", "lowest": "fp32",
            "left_floors": "*fp32", "right_floors": "*fp32",
            "block_rows": shape.rows, "block_columns": shape.columns, "block_depth": shape.depth,
            "even_depth": even, "by_row": by_row, "widen": False,
        }, {"num_warps": shape.warps, "num_stages": shape.stages})
report["write"] = resources(write_marked_pairs, {
    "words": "*i32", "nonzero": "*i64", "offsets": "*i64", "pairs": "*i64", **rows,
    "block_columns": 128, "block_entries": 32}, {})
report["measure"] = resources(multiply_pairs, {
    "left": "*fp16", "right": "*fp16", "pairs": "*i64", "products": "*fp64", **rows,
    "block_pairs": 16, "block_depth": 128}, {})
print(json.dumps(report))
"""


def test_kernels_pass_the_tests_of_tiles_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(HERE / "test_base.py")]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE.parents[3])
    assert ran.returncode == 0, ran.stdout[-6000:]


@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_without_spills(capability: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ran = subprocess.run(
        [sys.executable, "-c", COMPILE, str(capability)], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    report = json.loads(ran.stdout)
    assert len(report) == 11
    for name, used in report.items():
        assert used["spilled_bytes"] == 0 and used["shared_bytes"] <= 99 << 10, (name, used)
        assert used["tensor_cores"] == name.startswith(("fp16", "bf16")), name
