"""A workspace from Python: stages as functions, the table of pairs, and data sets for a training loop."""

import inspect
import pydoc
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import miner
from miner.api.pair_table import _figure
from miner.api.stages import in_python
from miner.artifacts.decisions import Decision
from miner.commands.app import app
from miner.errors import MinerError, UsageError
from miner.pairs.options import PairsOptions

BAND = {"min": 0.5, "max": 0.99}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> miner.OpenedWorkspace:
    folder = tmp_path_factory.mktemp("api")
    opened = miner.embed("sample", workspace=folder / "w", limit=40, device="cpu", quiet=True)
    miner.pairs(opened, **BAND, quiet=True)
    miner.export(opened, shard_count=2, quiet=True)
    return opened


def views(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.resize((8, 8)), np.float32)).permute(2, 0, 1)


def test_stages_say_what_the_commands_say(workspace, capsys) -> None:
    again = miner.pairs(workspace, **BAND)
    assert isinstance(again, miner.OpenedWorkspace)
    assert "with cosine in [0.5, 0.99]" in capsys.readouterr().out
    with pytest.raises(MinerError, match="made by another request"):
        miner.pairs(workspace.path, min=0.6, max=0.9)
    with pytest.raises(UsageError, match="neighbours"):
        miner.pairs(workspace, neighbours=3)


def test_errors_name_keyword_arguments_not_flags(workspace) -> None:
    with pytest.raises(UsageError, match=r"^top_k: .* \(got 0\)$"):
        miner.pairs(workspace, top_k=0)
    with pytest.raises(MinerError, match="force=True to replace"):
        miner.pairs(workspace, min=0.6, max=0.9)
    message = "Give --min, --no-groups or --engine; or run `miner pairs --min 0` or miner train --seed 3."
    told = "Give min, groups=False or engine; or run `miner pairs --min 0` or miner train --seed 3."
    assert in_python(message, PairsOptions) == told


def test_signature_of_a_stage_lists_its_options() -> None:
    signature = inspect.signature(miner.pairs)
    assert [*signature.parameters][:3] == ["workspace", "force", "quiet"]
    assert signature.parameters["neighbors"].default is PairsOptions.model_fields["neighbors"].default
    assert next(iter(inspect.signature(miner.embed).parameters)) == "source"


@pytest.mark.parametrize(
    ("name", "line"),
    [("pairs", "    neighbors = "), ("calibrate", "    budget = "), ("leaks", "    up_to = 'scene': The least")],
)
def test_help_lists_options_with_their_texts(name: str, line: str) -> None:
    shown = pydoc.render_doc(getattr(miner, name), renderer=pydoc.plaintext)
    assert line in shown and "    sources" not in shown


def test_an_option_that_is_nearly_right_is_told() -> None:
    with pytest.raises(UsageError, match=r"unknown option 'neighbours'.*did you mean neighbors\?"):
        PairsOptions.parse({"neighbours": 3})


def test_table_of_pairs_has_paths_and_verdicts(workspace) -> None:
    table = workspace.pairs.to_arrow()
    assert len(table) == len(workspace.pairs) > 10
    assert table.column_names[:4] == ["path_a", "path_b", "a", "b"]
    paths = workspace.embeddings.metadata["path"].to_pylist()
    assert table["path_b"].to_pylist() == [paths[row] for row in table["b"].to_pylist()]
    first, second = (table.slice(number, 1).to_pylist()[0] for number in (0, 1))
    answers = [
        (first, "same", "ann"),
        (first, "different", "bob"),
        (second, "different", "ann"),
        (second, "skip", "bob"),
    ]
    common = {"time": "2025-03-01T12:00:00Z", "similarity": 0.9, "slice": [0.8, 1.0]}
    lines = [
        Decision(key_a=pair["key_b"], key_b=pair["key_a"], decision=answer, reviewer=reviewer, **common).line()
        for pair, answer, reviewer in answers
    ]
    (workspace.path / "review").mkdir()
    (workspace.path / "review/decisions.jsonl").write_text("".join(lines))
    assert workspace.pairs.to_arrow()["verdict"].to_pylist()[:3] == [None, "different", None]
    assert workspace.pairs.to_pandas()["verdict"].count() == 1


def test_page_of_a_workspace_shows_pictures(workspace) -> None:
    page = workspace._repr_html_()
    assert page.count("<img") == page.count('src="data:image/') == 16 and page.count("<figure") == 8
    assert len(page) < 320_000


def test_page_says_what_cannot_be_shown(make_photos, tmp_path) -> None:
    folder = make_photos(count=12)
    hostile, gone, *_ = sorted(folder.rglob("*.jpg"))
    hostile.rename(folder / "<script>&'\"x.jpg")
    opened = miner.embed(folder, workspace=tmp_path / "w", device="cpu", quiet=True)
    miner.pairs(opened, rule="knn", neighbors=11, max=1.0, quiet=True)
    gone.unlink()
    pairs = miner.open(opened).pairs
    page = "".join(_figure(pair, {}) for pair in pairs.to_arrow().to_pylist()) + pairs._repr_html_()
    assert "<script" not in page and "&lt;script&gt;&amp;&#x27;&quot;x.jpg" in page
    assert page.count("not available") > 2 * len(pairs) and page.count("<img") > 8
    rows = opened.embeddings.metadata["path"].to_pylist()
    with pytest.raises(MinerError, match=f"{gone.name} of .* is gone since it was embedded"):
        pairs.image(rows.index(str(gone.relative_to(folder))))
    alone = miner.embed(vectors=opened.embeddings.vectors, workspace=tmp_path / "alone", quiet=True)
    miner.pairs(alone, rule="knn", neighbors=2, max=1.0, quiet=True)
    assert "<img" not in alone._repr_html_() and alone._repr_html_().count("not available") == 16
    (alone.path / "pairs/manifest.json").unlink()
    assert "miner pairs" in miner.open(alone)._repr_html_()


def test_opened_workspace_shows_what_a_stage_has_made(workspace, tmp_path) -> None:
    shutil.copytree(workspace.path / "embeddings", tmp_path / "embeddings")
    opened = miner.open(tmp_path)
    counts = [len(miner.pairs(opened, min=low, max=0.99, force=True, quiet=True).pairs) for low in (0.6, 0.8)]
    assert counts[0] > counts[1] == len(opened.pairs) == len(opened.pairs.to_arrow())


def test_searches_and_stages_find_what_the_commands_find(workspace, tmp_path) -> None:
    for name in ("command", "python"):
        shutil.copytree(workspace.path / "embeddings", tmp_path / name / "embeddings")
    table = workspace.pairs.to_arrow()
    a, b, cosine = miner.band_join(workspace.embeddings.vectors, low=BAND["min"], high=BAND["max"])
    for found, column in ((a, "a"), (b, "b"), (cosine.astype(np.float32), "similarity")):
        assert found.tobytes() == table[column].to_numpy().tobytes()
    flags = ["--rule", "mutual", "--neighbors", "5", "--max", "0.95", "--top-k", "3"]
    app(["pairs", *flags, "-w", str(tmp_path / "command")], standalone_mode=False)
    mined = miner.pairs(tmp_path / "python", rule="mutual", neighbors=5, max=0.95, top_k=3, quiet=True)
    for file in ("pairs.parquet", "manifest.json"):
        assert (mined.path / "pairs" / file).read_bytes() == (tmp_path / "command/pairs" / file).read_bytes()
    columns = {"path_a", "path_b", "similarity", "rank_a", "rank_b", "verdict"}
    frame = mined.pairs.to_pandas()
    assert columns <= {*frame.columns} and len(frame) > 10
    ids, cosines = miner.nearest(mined.embeddings.vectors, k=5, high=0.95)
    for a, b, rank, similarity in frame[["a", "b", "rank_a", "similarity"]].itertuples(index=False):
        assert ids[b, rank - 1] == a and np.float32(cosines[b, rank - 1]) == np.float32(similarity)


def test_data_set_gives_both_images_and_own_views(workspace) -> None:
    table = workspace.pairs.to_arrow()
    data = workspace.pair_dataset(views)
    assert repr(data) == f"PairDataset({len(table)} pairs)"
    loader = DataLoader(data, batch_size=8, num_workers=2)
    first, second = (torch.cat(side) for side in zip(*loader, strict=True))
    assert first.shape == second.shape == (len(table), 3, 8, 8)
    images = {row: views(workspace.pairs.image(row)) for row in {*table["a"].to_pylist(), *table["b"].to_pylist()}}
    swapped = 0
    for number, (a, b) in enumerate(zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True)):
        pair = [first[number], second[number]]
        swapped += bool(torch.equal(pair[0], images[b]))
        assert any(all(map(torch.equal, pair, (images[x], images[y]))) for x, y in ((a, b), (b, a)))
    assert 0 < swapped < len(table)
    own = workspace.pair_dataset(views, own_views=1.0)
    assert all(torch.equal(*own[number]) for number in range(len(own)))
    some = workspace.pair_dataset(views, own_views=0.5)
    before = [torch.equal(*some[number]) for number in range(len(some))]
    some.set_epoch(1)
    after = [torch.equal(*some[number]) for number in range(len(some))]
    assert 0 < sum(before) < len(some) and before != after
    with pytest.raises(UsageError, match="share from 0 to 1"):
        workspace.pair_dataset(own_views=2)


def test_shards_give_every_pair_once_to_all_workers(workspace) -> None:
    shards = miner.PairShards(str(workspace.path / "shards"), views, shuffle=5)
    assert len(shards) == len(workspace.pairs) and repr(shards).endswith(f"/shards', {len(shards)} pairs)")
    wanted = workspace.pair_dataset(views)
    sums = sorted(float(sum(side.sum() for side in wanted[number])) for number in range(len(wanted)))
    for workers in (0, 2):
        found = list(DataLoader(shards, batch_size=None, num_workers=workers))
        assert sorted(float(first.sum() + second.sum()) for first, second in found) == pytest.approx(sums)
    with pytest.raises(MinerError, match="no folder that `miner export` wrote"):
        miner.PairShards(str(workspace.path / "pairs"))


def test_folder_that_is_no_workspace_is_refused(tmp_path) -> None:
    with pytest.raises(MinerError, match="There is no workspace"):
        miner.open(tmp_path / "nothing")
    with pytest.raises(MinerError, match="miner embed"):
        _ = miner.open(tmp_path).embeddings
    assert "empty" in miner.open(tmp_path)._repr_html_()
