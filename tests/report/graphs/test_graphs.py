"""Graphs, maps and neighbourhoods on the page, against direct counts and other people's code."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.manifests import verdict_sentences
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.refine.comparison.controls import GRAPH_ARMS
from miner.refine.comparison.controls_table import arm_key, control_rows, verdict
from miner.refine.options import RefineStageOptions
from miner.refine.run import refine
from miner.report.charts.degree import degree_steps
from miner.report.galleries.thumbnails import SMALL_QUALITIES, make_thumbnails
from miner.report.graphs.maps import principal_map, scatter_chart
from miner.report.options import ReportOptions
from miner.report.run import report
from miner.train.loop.metrics import read_metrics
from tests.report.pages import Page, read, shown_similarities, write
from tests.report.workspaces import GRAPH_RUN, make_graphs

IMAGES = 50
SECTIONS = {"graphs", "maps", "controls", "neighbourhoods"}


@pytest.fixture(scope="module")
def page(graphs: Workspace) -> Page:
    return write(graphs, gallery=5, random=0)


@pytest.fixture
def copied(graphs: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(graphs.root, tmp_path / "copy", ignore=shutil.ignore_patterns("report"))))


def edges_of(workspace: Workspace, stream: str) -> list[tuple[int, int, int, float]]:
    """Rows of the embeddings of node and neighbour, epoch, cosine, in the order of the file."""
    folder = workspace.run("graphs") / "graph"
    keys = EmbeddingStore(workspace).keys
    rows = [keys.index(key) for key in pq.read_table(folder / "nodes.parquet")["key"].to_pylist()]
    table = pq.read_table(folder / f"graph-{stream}.parquet").to_pylist()
    return [(rows[edge["node"]], rows[edge["neighbour"]], edge["epoch"], edge["similarity"]) for edge in table]


def share_of_one_class(edges: list[tuple[int, int, int, float]], labels: np.ndarray) -> float:
    return sum(labels[node] == labels[neighbour] for node, neighbour, _, _ in edges) / len(edges)


def test_homophily_is_counted_by_epoch_beside_logged_purity(graphs: Workspace, page: Page) -> None:
    labels = EmbeddingStore(graphs).labels
    logged = {line["epoch"]: line for line in read_metrics(graphs.run("graphs") / "metrics.jsonl") if "purity" in line}
    assert sorted(logged) == [1, 2, 3, 4]
    cells: dict[int | None, str] = {}
    for stream, name in (("teacher", "purity"), ("student", "student_purity")):
        edges = edges_of(graphs, stream)
        newest = {node: max(epoch for other, _, epoch, _ in edges if other == node) for node, *_ in edges}
        at_end = [edge for edge in edges if edge[2] == newest[edge[0]]]
        assert share_of_one_class(at_end, labels) == pytest.approx(logged[4][name], abs=1e-6)
        for epoch in {edge[2] for edge in edges}:
            some = [edge for edge in edges if edge[2] == epoch]
            row = cells.setdefault(epoch, f"{epoch + 1}{len({edge[0] for edge in some})}")
            cells[epoch] = f"{row}{share_of_one_class(some, labels):.1%}{logged[epoch + 1][name]:.1%}"
        whole = cells.setdefault(None, f"all kept{IMAGES}")
        cells[None] = f"{whole}{share_of_one_class(edges, labels):.1%}–"  # noqa: RUF001
        assert f"{stream.capitalize()}: from {logged[1][name]:.1%} to {logged[4][name]:.1%}." in " ".join(page.charts())
    assert len(cells) >= 3 and cells[3].startswith("448")
    assert all(row in page.sections["graphs"] for row in cells.values())
    sizes = Counter(labels.tolist()).values()
    assert (
        f"at random, {sum(size * (size - 1) for size in sizes) / (IMAGES * (IMAGES - 1)):.1%}"
        in page.sections["graphs"]
    )


def test_an_unfinished_run_shows_its_purity_so_far(make_workspace) -> None:
    workspace = make_workspace()
    folder = workspace.run("going-on")
    folder.mkdir(parents=True)
    lines = [{"step": 6 * epoch, "epoch": epoch, "purity": epoch / 8, "student_purity": 0.25} for epoch in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write(workspace, gallery=5)
    assert "Teacher: from 12.5% to 25.0%." in " ".join(page.charts())
    assert "Run going-on is not finished" in page.sections["graphs"] and "homophily" not in page.sections["graphs"]


def test_in_degrees_of_a_run_count_each_other_image_once(graphs: Workspace, page: Page) -> None:
    distinct = {(node, neighbour) for node, neighbour, _, _ in edges_of(graphs, "teacher")}
    counts = Counter(neighbour for _, neighbour in distinct)
    in_degree = np.asarray([counts[row] for row in range(IMAGES)])
    steps = "; ".join(f"{name}: {images}" for name, images in degree_steps(in_degree))
    assert f"Images by number of lists: {steps}." in page.charts()
    assert f"Teacher: largest in-degree {in_degree.max()}, skewness" in page.sections["graphs"]
    assert f"{np.mean(in_degree == 0):.1%} of the images in no list" in page.sections["graphs"]


def test_maps_are_those_of_scikit_learn(graphs: Workspace, page: Page) -> None:
    stores = [EmbeddingStore(workspace) for workspace in (graphs, Workspace(graphs.root / "refined"))]
    for store, name in zip(stores, ("Before: embeddings", "After refinement"), strict=True):
        vectors = store.vectors.astype(np.float64)
        points, shares = principal_map(vectors)
        theirs = PCA(2, svd_solver="full")
        np.testing.assert_allclose(np.abs(points), np.abs(theirs.fit_transform(vectors)), atol=1e-7)
        np.testing.assert_allclose(shares, theirs.explained_variance_ratio_)
        assert f"{name}{shares[0]:.1%} and {shares[1]:.1%} of the variance" in page.sections["maps"].replace("\n", "")
    dots = [attributes for tag, attributes in page.elements if attributes.get("class", "").startswith("point")]
    dots = dots[len(dots) // 3 :]  # without those of the map of the embeddings
    assert f"Each dot is one of all {IMAGES} images." in page.sections["maps"]
    assert sum(attributes["d"].count("M") for attributes in dots) == 2 * IMAGES
    classes = {name for name in stores[0].manifest.source.classes if name in page.sections["maps"]}
    assert len(classes) == len(np.unique(stores[0].labels)) == len(dots) / 2


def test_equal_vectors_have_a_map() -> None:
    points, shares = principal_map(np.ones((4, 3)))
    assert not points.any() and shares == (0.0, 0.0)
    assert "nan" not in scatter_chart(points, {"plain": np.ones(4, bool)}, "d")


def test_dots_lie_at_one_scale_with_up_above() -> None:
    points = np.asarray([[0.0, 0.0], [2.0, 1.0]])
    chart = scatter_chart(points, {"class-0": np.asarray([True, False]), "rest": np.asarray([False, True])}, "d")
    (first,) = re.findall(r'd="M(\d+) (\d+)h0" class="point class-0"', chart)
    (second,) = re.findall(r'd="M(\d+) (\d+)h0" class="point rest"', chart)
    right, up = int(second[0]) - int(first[0]), int(first[1]) - int(second[1])
    assert right > 0 and up == pytest.approx(right / 2, abs=1)


def test_neighbourhoods_hold_nearest_neighbours_before_and_after(graphs: Workspace, page: Page) -> None:
    store, refined = EmbeddingStore(graphs), EmbeddingStore(Workspace(graphs.root / "refined"))
    files = [PurePosixPath(path).name for path in store.metadata["path"].to_pylist()]
    html = (graphs.report / "index.html").read_text()
    items = html.split('<ol class="neighbourhoods">')[1].split("<figure>")[1:]
    assert len(items) == 6
    marks = 0
    for item in items:
        names = [alt.rpartition(", ")[2] for alt in re.findall(r'alt="([^"]*)"', item.split("</section>")[0])]
        anchor, *shown = [files.index(name) for name in names]
        expected = []
        for of in (store, refined):
            ids, cosines = NeighbourGraph(of.stored, 6).nearest(anchor, anchor + 1)
            expected += zip(ids[0].tolist(), cosines[0].tolist(), strict=True)
        edges = [edge for edge in edges_of(graphs, "teacher") if edge[0] == anchor]
        newest = max(epoch for _, _, epoch, _ in edges)
        expected += [(row, cosine) for _, row, epoch, cosine in edges if epoch == newest]
        assert shown == [row for row, _ in expected] and len(shown) == 12 + GRAPH_RUN["graph_edges"]
        assert re.findall(r"(\d\.\d{3})</span>", item) == [f"{cosine:.3f}" for _, cosine in expected]
        differing = sum(store.labels[row] != store.labels[anchor] for row in shown)
        assert item.count('<li class="differ">') == item.count("≠") == differing
        marks += differing
    assert 0 < marks < 16 * 6


def test_a_mined_graph_is_shown_where_nothing_is_refined(copied: Workspace) -> None:
    shutil.rmtree(copied.root / "refined")
    shutil.rmtree(copied.root / "runs")
    page = write(copied, gallery=5, random=0)
    assert page.sections.keys() & SECTIONS == {"neighbourhoods"}
    cosines = np.load(copied.pairs / "knn_sims.npy")
    shown = shown_similarities(page.sections["neighbourhoods"])
    assert len(shown) == 6 * 5 and {f"{cosine:.3f}" for cosine in shown} <= {f"{cosine:.3f}" for cosine in cosines.flat}
    (copied.pairs / "knn_sims.npy").write_bytes(b"")
    with pytest.raises(MinerError, match=r"missing or damaged\. Run `miner pairs --force`"):
        report(ReportOptions(gallery=5), copied, force=True)


def test_refined_streams_of_a_run_are_compared_with_its_teacher(copied: Workspace) -> None:
    report(ReportOptions(gallery=5), copied)
    asked = {"run": "graphs", "dim": 8, "epochs": 1, "device": "cpu"}
    refine(RefineStageOptions.parse(asked), copied, force=True)
    assert report(ReportOptions(gallery=5), copied).fresh
    section = read(copied).sections["maps"]
    bank = np.load(copied.run("graphs") / "graph" / "bank-teacher.npy")
    shares = PCA(2).fit(bank.astype(np.float64)).explained_variance_ratio_
    assert "Before: teacher of run graphs" in section and f"{shares[0]:.1%} and {shares[1]:.1%}" in section
    manifest = json.loads((copied.run("graphs") / "manifest.json").read_text())
    manifest["files"]["graph/nodes.parquet"]["sha256"] = "of another training"
    (copied.run("graphs") / "manifest.json").write_text(json.dumps(manifest))
    assert report(ReportOptions(gallery=5), copied).fresh
    assert "maps" not in read(copied).sections


def test_without_labels_the_page_says_what_is_unknown(make_photos, tmp_path: Path) -> None:
    workspace = make_graphs(Workspace(tmp_path / "w"), str(make_photos(count=24, classes=0)), 24)
    page = write(workspace, gallery=5)
    assert "have no labels, so the purity of its neighbours is unknown" in page.sections["graphs"]
    assert "homophily" not in page.sections["graphs"] and "Teacher: largest in-degree" in page.sections["graphs"]
    assert "the dots have no colours" in page.sections["maps"]
    assert "≠" not in page.text and shown_similarities(page.sections["neighbourhoods"])


def test_sections_without_content_are_left_out(make_workspace) -> None:
    workspace = make_workspace(extras=True)
    assert write(workspace, gallery=5).sections.keys().isdisjoint(SECTIONS)


def test_a_damaged_graph_is_refused(copied: Workspace) -> None:
    (copied.run("graphs") / "graph" / "graph-student.parquet").write_bytes(b"")
    with pytest.raises(MinerError, match=r"missing or damaged .*`miner train --force`"):
        report(ReportOptions(gallery=5), copied)


def test_the_table_of_controls_stands_with_its_verdict(make_workspace) -> None:
    workspace = make_workspace()
    report(ReportOptions(gallery=5), workspace)
    rng = np.random.default_rng(0)
    scores = {
        arm_key(arm): [
            {name: {"test": place + rng.random(), "validation": 0.0} for name in ("linear", "knn")} for _ in range(3)
        ]
        for place, arm in enumerate(GRAPH_ARMS)
    }
    images = EmbeddingsManifest.read(workspace).identity
    stage = Stage(workspace.root / "graph", {"embeddings": images})
    stage.begin(force=True)
    rows, answer = control_rows(scores), verdict(scores)
    stage.finish({"rows": rows, "verdict": answer, "n_train": 40, "n_test": 9}, [])
    assert report(ReportOptions(gallery=5), workspace).fresh
    section = read(workspace).sections["controls"]
    assert all(line in section for line in verdict_sentences(answer)) and "9 test images" in section
    assert section.index("linear: the graph network") < section.index("knn: the graph network")
    for row in rows:
        numbers = [f"{row[name]['mean']:.2f} ± {row[name]['half_width']:.2f}" for name in ("linear", "knn")]
        assert f"{row['arm']}{row['mode'] or ''}{''.join(numbers)}" in section


def test_small_thumbnails_of_noise_fit_their_space() -> None:
    rng = np.random.default_rng(0)
    squares = {row: Image.fromarray(rng.integers(0, 255, (288, 288, 3), np.uint8)) for row in range(40)}
    uses = [row % 40 for row in range(6 * 19)]
    pictures = make_thumbnails(squares, uses, 330_000, SMALL_QUALITIES)
    assert sum(len(pictures[row].url) for row in uses) < 330_000
