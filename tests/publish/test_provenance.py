import shlex
from itertools import pairwise

import pytest

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import public_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import write_json
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.publish.options import PublishOptions
from miner.publish.provenance import Provenance, public_source
from miner.publish.run import publish

CALIBRATED = {"band": {"min": 0.5, "max": 0.93}, "images": 25, "estimated_pairs": 9}


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("cifar10", "cifar10"),
        ("/home/someone/holiday photos/", "holiday photos"),
        ("hf://datasets/ORG/NAME", "hf://datasets/ORG/NAME"),
        ("s3://secret-bucket/data-{000000..000009}.tar", "data-{000000..000009}.tar"),
    ],
)
def test_paths_of_the_machine_are_not_published(spec: str, shown: str) -> None:
    assert public_source(spec) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("efficientnet_lite0", "efficientnet_lite0"),
        ("resnet50:IMAGENET1K_V1", "resnet50:IMAGENET1K_V1"),
        ("timm:vit_small_patch14_dinov2.lvd142m", "timm:vit_small_patch14_dinov2.lvd142m"),
        ("moco:./weights/moco_v2.pth", "moco:moco_v2.pth"),
        ("run:/home/someone/runs/mine/", "run:mine"),
        ("timm:resnet18@/secret/weights.pt", "timm:resnet18@weights.pt"),
        ("resnet18@weights.pt", "resnet18@weights.pt"),
    ],
)
def test_weights_are_named_without_their_folder(name: str, shown: str) -> None:
    assert public_encoder(name) == shown


def test_metadata_that_chose_pairs_is_published(workspace: Workspace) -> None:
    table = workspace.root / "my frames.csv"
    keys = EmbeddingStore(workspace).keys
    table.write_text("key,recording,day\n" + "".join(f"{key},{row % 4},{row}\n" for row, key in enumerate(keys)))
    asked = {"min": 0.5, "max": 0.93, "differ": ["recording", "folder"], "apart": ["day:2.5"]}
    made = pairs(PairsOptions(**asked, metadata=table), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    provenance = Provenance.read(workspace)
    command = shlex.split(provenance.commands()[1])
    assert command[2:] == [
        *("--min", "0.5", "--max", "0.93", "--differ", "recording", "folder", "--apart", "day:2.5"),
        *("--metadata", "my frames.csv"),
    ]
    limits = dict(provenance.facts())["Limits on the pairs"]
    for constraint in made.record["constraints"]:
        assert f"{constraint['left_out']} pairs left out by {constraint['constraint']}" in limits


def test_other_embeddings_that_agreed_are_published(workspace: Workspace, tmp_path) -> None:
    other = Workspace(tmp_path / "agreeing")
    embed(EmbedOptions(source=str(EmbeddingsManifest.read(workspace).source.spec), pool="max"), other)
    pairs(PairsOptions(min=0.5, max=0.93, agree=[str(other.root)], at_least=1), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    provenance = Provenance.read(workspace)
    assert provenance.commands() == [
        "miner embed photos --block-size 16",
        "miner embed photos --pool max -w agree-2",
        "miner pairs --min 0.5 --max 0.93 --agree agree-2 --at-least 1",
        "miner export",
    ]
    agreement = dict(provenance.facts())["Agreement"]
    assert agreement.startswith("chosen in at least 1 of 2 embeddings: ") and str(other.root) not in agreement
    write_json(other.calibration, {"request": {"embeddings": EmbeddingsManifest.read(other).identity}, **CALIBRATED})
    record = {"request": {"embeddings": EmbeddingsManifest.read(workspace).identity}, **CALIBRATED}
    write_json(workspace.calibration, {**record, "band": {"min": 0.4, "max": 0.9}})
    pairs(PairsOptions(rule="knn", neighbors=4, agree=[str(other.root)]), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    assert Provenance.read(workspace).commands()[2:5] == [
        "miner calibrate",
        "miner calibrate -w agree-2",
        "miner pairs --rule knn --neighbors 4 --agree agree-2",
    ]


def test_given_vectors_and_a_given_table_are_published(workspace: Workspace, tmp_path) -> None:
    """The embeddings of the workspace, taken as vectors of somebody else, and a table of some of its images."""
    spec = EmbeddingsManifest.read(workspace).source.spec
    paths = EmbeddingStore(workspace).metadata["path"].to_pylist()
    table, taken = tmp_path / "votes.csv", Workspace(tmp_path / "taken")
    rows = [f"{one},{other},{row}" for row, (one, other) in enumerate(pairwise(paths[:10]))]
    table.write_text("\n".join(["anchor,positive,score", *rows, rows[0]]))
    embed(EmbedOptions(source=spec, vectors=str(workspace.root)), taken)
    pairs(PairsOptions(table=table), taken)
    export(ExportOptions(), taken)
    folder = tmp_path / "given"
    publish(PublishOptions(to=str(folder), license="cc-by-4.0", image_license="mit"), taken)
    card = (folder / "README.md").read_text()
    assert "miner embed photos --vectors w --dtype float16\nminer pairs --table votes.csv\nminer export\n" in card
    assert "from the table votes.csv that was given" in card
    assert "| Encoder | not recorded: the vectors are those of w |" in card
    assert "10 rows of votes.csv (anchor, positive, score); left out: 1 of a pair that stands before; sha256 " in card
    assert "`table_score`: the score of the given table" in card
    assert str(tmp_path) not in card
