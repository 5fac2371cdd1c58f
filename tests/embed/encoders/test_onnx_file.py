import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from miner.artifacts.workspace import Workspace
from miner.embed.encoders import load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError, UsageError

CPU = torch.device("cpu")


def graph(path: Path, shape: list[Any], output: str = "vector", kind: str = "float") -> np.ndarray:
    """Write a graph of one strided 8 x 8 convolution to 5 channels, pooled (`vector`), as a map or as tokens.

    Returns:
        The weights, float32 (5, 3, 8, 8).
    """
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper
    weights = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    nodes = [make.make_node("Conv", ["images", "w"], ["map"], strides=[8, 8])]
    if output == "vector":
        nodes += [
            make.make_node("GlobalAveragePool", ["map"], ["mean"]),
            make.make_node("Flatten", ["mean"], ["vector"]),
        ]
    if output == "tokens":
        nodes += [
            make.make_node("Reshape", ["map", "flat"], ["rows"]),
            make.make_node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
        ]
    ranks = {"vector": ["n", 5], "map": ["n", 5, "h", "w"], "tokens": ["n", "t", 5]}
    floats = onnx.TensorProto.FLOAT if kind == "float" else onnx.TensorProto.FLOAT16
    model = make.make_model(
        make.make_graph(
            nodes,
            "graph",
            [make.make_tensor_value_info("images", floats, shape)],
            [make.make_tensor_value_info(output, floats, ranks[output])],
            [
                onnx.numpy_helper.from_array(weights if kind == "float" else weights.astype(np.float16), "w"),
                onnx.numpy_helper.from_array(np.array([0, 5, -1]), "flat"),
            ],
        ),
        opset_imports=[make.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, path)
    return weights


def feature_map(weights: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    return nn.functional.conv2d(images, torch.from_numpy(weights), stride=8)


def noise(count: int, side: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch", ["n", 4, 1])
def test_the_graph_sees_normalised_images_whatever_its_batch(batch: Any, tmp_path: Path) -> None:
    weights = graph(tmp_path / "m.onnx", [batch, 3, 32, 32])
    encoder = load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)
    assert (encoder.preprocess.crop, encoder.preprocess.resize, encoder.dim) == (32, 36, 5)
    pixels = noise(6)
    images = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    expected = nn.functional.normalize(feature_map(weights, images).mean((2, 3)))
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), expected, atol=1e-5, rtol=1e-4)


def test_the_file_beside_it_states_the_preprocessing(tmp_path: Path) -> None:
    graph(tmp_path / "m.onnx", ["n", 3, "height", "width"])
    with pytest.raises(UsageError, match=r"m\.onnx\.json"):
        load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)
    wanted = {"resize": 40, "crop": 40, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.25] * 3}
    (tmp_path / "m.onnx.json").write_text(json.dumps(wanted))
    assert load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU).preprocess.record() == {
        **wanted,
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
    }


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"crop": 24}, "the graph takes 32"),
        ({"size": 32}, "size: Extra inputs"),
        ({"interpolation": "random"}, "is not one of nearest"),
        ({"crop": 0}, "crop: Input should be greater"),
        ({"mean": [0.5]}, "mean"),
    ],
)
def test_a_wrong_file_beside_it_is_explained(beside: dict[str, Any], message: str, tmp_path: Path) -> None:
    graph(tmp_path / "m.onnx", ["n", 3, 32, 32])
    (tmp_path / "m.onnx.json").write_text(json.dumps(beside))
    with pytest.raises(UsageError, match=message):
        load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)


@pytest.mark.parametrize(
    ("output", "pool"), [("map", "avg"), ("map", "max"), ("tokens", "cls"), ("tokens", "avg"), ("tokens", "max")]
)
def test_maps_and_tokens_are_pooled_as_asked(output: str, pool: Any, tmp_path: Path) -> None:
    weights = graph(tmp_path / "m.onnx", ["n", 3, 32, 32], output)
    encoder = load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU, pool=pool)
    pixels = noise(2)
    tokens = feature_map(weights, encoder.preprocess.normalise(pixels)).flatten(2)
    expected = {"avg": tokens.mean(2), "max": tokens.amax(2), "cls": tokens[:, :, 0]}[pool]
    torch.testing.assert_close(
        encoder.encode(pixels, torch.float32), nn.functional.normalize(expected), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("output", "choice", "message"),
    [
        ("vector", {"pool": "avg"}, "one vector per image"),
        ("map", {"pool": "cls"}, "no tokens"),
        ("vector", {"layer": "projector"}, "no projector"),
    ],
)
def test_what_the_graph_does_not_give_is_refused(
    output: str, choice: dict[str, Any], message: str, tmp_path: Path
) -> None:
    graph(tmp_path / "m.onnx", ["n", 3, 32, 32], output)
    with pytest.raises(UsageError, match=message):
        load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU, **choice)


def test_a_map_without_a_choice_of_pooling_is_refused(tmp_path: Path) -> None:
    graph(tmp_path / "m.onnx", ["n", 3, 32, 32], "map")
    with pytest.raises(MinerError, match=r"gives \(5, 4, 4\) per image.*--pool avg"):
        load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU).encode(noise(1), torch.float32)


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (["n", 1, 32, 32], "float", "one float32 input"),
        (["n", 3, 32, 64], "float", "squares"),
        (["n", 3, 32, 32], "half", "float16"),
    ],
)
def test_graphs_with_another_input_are_refused(shape: list[Any], kind: str, message: str, tmp_path: Path) -> None:
    graph(tmp_path / "m.onnx", shape, kind=kind)
    with pytest.raises(MinerError, match=message):
        load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)


def test_what_is_no_graph_is_explained(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    with pytest.raises(MinerError, match="could not be read as an ONNX graph"):
        load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)


def test_embed_records_the_bytes_of_the_file(make_photos, tmp_path: Path) -> None:
    graph(tmp_path / "m.onnx", ["n", 3, 32, 32])
    record = embed(
        EmbedOptions(source=str(make_photos(count=6)), encoder=f"onnx:{tmp_path / 'm.onnx'}", device="cpu"),
        Workspace(tmp_path / "w"),
    ).record
    assert record["dim"] == 5
    assert record["encoder"]["weights_sha256"] == record["request"]["encoder_files"]["m.onnx"]


@pytest.mark.filterwarnings("ignore")
def test_an_export_of_torch_gives_the_vectors_of_torch(tmp_path: Path) -> None:
    for package in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(package)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    example = (torch.zeros(2, 3, 64, 64),)
    torch.onnx.export(network, example, tmp_path / "m.onnx", dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},))
    encoder = load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)
    pixels = noise(3, 64)
    with torch.inference_mode():
        expected = nn.functional.normalize(network(encoder.preprocess.normalise(pixels)))
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), expected, atol=1e-5, rtol=1e-4)


def test_without_onnxruntime_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MinerError, match="pip install onnxruntime"):
        load_encoder(f"onnx:{tmp_path / 'm.onnx'}", CPU)


def test_torchscript_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"executes code.*ONNX"):
        load_encoder(f"script:{tmp_path / 'absent.pt'}", CPU)
