import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import encoder_request
from miner.embed.encoders import load_encoder
from miner.embed.onnx_data import external_files
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


@pytest.mark.parametrize("name", ["weights.bin", "parts/w.0", "m.onnx.data"])
@pytest.mark.parametrize("inside", ["initializer", "constant", "branch"])
def test_external_weights_of_any_name_are_part_of_the_request(name: str, inside: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph(tmp_path / "m.onnx", ["n", 3, 32, 32])
    model = onnx.load(tmp_path / "m.onnx")
    tensor = model.graph.initializer[0]
    if inside != "initializer":
        node = onnx.helper.make_node("Constant", [], ["w"], value=tensor)
        del model.graph.initializer[0]
        nodes = model.graph.node
        if inside == "branch":
            out = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [5, 3, 8, 8])
            branches = {f"{kind}_branch": onnx.helper.make_graph([node], kind, [], [out]) for kind in ("then", "else")}
            yes = onnx.numpy_helper.from_array(np.array(True), "yes")
            nodes.insert(0, onnx.helper.make_node("If", ["yes"], ["w"], **branches))
            model.graph.initializer.append(yes)
            tensors = [branch.g.node[0].attribute[0].t for branch in nodes[0].attribute]
        else:
            nodes.insert(0, node)
            tensors = [nodes[0].attribute[0].t]
    else:
        tensors = [tensor]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(tensor.raw_data)
    for one in tensors:
        onnx.external_data_helper.set_external_data(one, name, 0, len(tensor.raw_data))
        one.ClearField("raw_data")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    options = EmbedOptions(source="sample", encoder=f"onnx:{tmp_path / 'm.onnx'}")
    before = encoder_request(options)
    assert list(before["encoder_files"]) == ["m.onnx", name]
    sha256 = load_encoder(options.encoder, CPU).weights_sha256
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[::-1])
    assert encoder_request(options, before) != before
    assert load_encoder(options.encoder, CPU).weights_sha256 != sha256
    (tmp_path / name).write_bytes(b"short")
    with pytest.raises(MinerError, match="which has 5"):
        load_encoder(options.encoder, CPU)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 99, b"\xff" * 99, b"\x3a\x7f", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_a_file_that_is_no_protobuf_names_no_other_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert external_files(tmp_path / "m.onnx") == []
