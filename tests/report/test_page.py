"""What the page holds, read back with an HTML parser."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore, vectors_path
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import file_record, write_json, write_signed
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.report.galleries.collections import without_partner
from miner.report.galleries.ranks import ranked_pairs
from miner.report.galleries.thumbnails import make_thumbnails, whole_picture
from miner.report.graphs.maps import dot_places, principal_map
from miner.report.options import ReportOptions
from miner.report.run import report
from miner.source import open_source
from tests.report.pages import shown_similarities, write

_LOADS = {"src", "href", "srcset", "data", "poster", "action", "xlink:href"}


def test_the_page_loads_nothing(make_workspace, add_run):
    workspace = make_workspace()
    add_run(workspace, knn=True)
    page = write(workspace)
    loaded = [value for _, attributes in page.elements for name, value in attributes.items() if name in _LOADS]
    assert len(loaded) > 24
    assert all(value.startswith(("data:", "#")) for value in loaded)
    assert {tag for tag, _ in page.elements}.isdisjoint({"iframe", "object", "embed"})
    assert [attributes for tag, attributes in page.elements if tag == "script"] == [{}]
    text = (workspace.report / "index.html").read_text()
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(attributes for _, attributes in page.elements if attributes.get("http-equiv"))["content"]
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not re.search(r"fetch|XMLHttpRequest|WebSocket|innerHTML|import\(", script)
    assert "url(" not in text and "@import" not in text


def test_hostile_names_stay_text(make_workspace, make_photos, add_run):
    photos = make_photos(count=24)
    # The slash of </script> makes a second folder.
    (photos / "<script>alert(1)<" / "script>").mkdir(parents=True)
    for number, photo in enumerate(sorted((photos / "class0").iterdir())):
        photo.rename(photos / "<script>alert(1)<" / "script>" / f'"onerror="alert(2)"{number}<b>.jpg')
    (photos / "class0").rmdir()
    errors = [{"key": "e", "path": "<img src=x onerror=alert(3)>.jpg", "reason": "<svg onload=alert(4)>"}]
    workspace = make_workspace(str(photos), images=24, errors=errors)
    add_run(workspace, name="<u>run", knn=True)
    page = write(workspace, gallery=60)
    names = {tag for tag, _ in page.elements}
    assert names.isdisjoint({"b", "u"})
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "<script>alert(1)<" in page.sections["gallery"]
    assert any("<b>.jpg" in image["alt"] for image in page.images())
    assert "<img src=x onerror=alert(3)>.jpg" in page.sections["failures"]
    assert "<u>run" in page.sections["training"] and "<u>run" in page.sections["accuracy"]


def test_sections_without_content_are_left_out(make_workspace):
    page = write(make_workspace(labels=False))
    assert "miner calibrate" in page.sections["similarity"]
    assert "no labels" in page.sections["precision"]
    assert not page.sections.keys() & {"training", "accuracy", "failures", "hubs", "groups"}
    assert "Label precision" not in page.text
    assert "✓" not in page.text and "≠" not in page.text


def test_each_section_tells_what_is_there(make_workspace, add_run):
    errors = [{"key": f"e{n}", "path": f"broken{n}.jpg", "reason": "empty file"} for n in range(13)]
    workspace = make_workspace(errors=errors)
    add_run(workspace, knn=True)
    add_run(workspace, name="going-on", finished=False)
    own = {"k": 20, "temperature": 0.07, "embeddings": 71.3, "random": 33.4}
    for name, identity in (("knn", EmbeddingsManifest.read(workspace).identity), ("linear", "of other embeddings")):
        record = {"results": [own], "request": {"embeddings": identity}, "verdict": [f"embeddings: {name} verdict"]}
        write_json(workspace.root / "eval" / f"{name}.json", record)
    page = write(workspace)
    labels = PairsManifest.read(workspace).labels
    assert f"{labels.precision:.1%}" in page.sections["head"]
    assert f"{labels.chance:.1%}" in page.sections["head"]
    assert "labels seen in training: ImageNet-1k" in page.sections["head"]
    assert "Labels are only reported" in page.sections["precision"]
    assert "Loss" in page.sections["training"] and "Contrastive accuracy" in page.sections["training"]
    assert "not finished" in page.sections["training"]
    assert all(text in page.sections["accuracy"] for text in ("87.6%", "54.3%", "10.0%", "32 gallery images"))
    assert all(text in page.sections["accuracy"] for text in ("linear, fast, best weights", "91.2%", "43.9%"))
    assert "moco (linear-best): Classifier: logistic regression" in page.sections["accuracy"]
    assert "Trained, k = 20: better than random weights: +33.3 points" in page.sections["accuracy"]
    assert all(text in page.sections["accuracy"] for text in ("encoder some_encoder", "71.3%", "33.4%", "knn verdict"))
    assert "linear verdict" not in page.sections["accuracy"]
    assert "13 images could not be used" in page.sections["failures"]
    assert page.sections["failures"].count("broken") == 13
    assert len(page.charts()) == 6 and "Run moco: from 5 to 1." in " ".join(page.charts())


def test_the_gallery_is_sorted_by_similarity_and_spans_the_band(make_workspace):
    workspace = make_workspace()
    section = write(workspace, gallery=20).sections["gallery"]
    similarities = shown_similarities(section)
    assert len(similarities) == 20 and similarities == sorted(similarities)
    assert similarities[0] == pytest.approx(0.2, abs=0.02) and similarities[-1] == pytest.approx(0.9, abs=0.02)
    gaps = [after - before for before, after in pairwise(similarities)]
    assert max(gaps) < 3 * (0.7 / 19)
    assert section.count("✓") + section.count("≠") == 20 + 2  # and once each in the explanation


def test_random_pairs_lie_in_the_band_and_stay_the_same(make_workspace):
    workspace = make_workspace()
    drawn = shown_similarities(write(workspace).sections["random"])
    assert len(drawn) == 8 and drawn != sorted(drawn) and 0.2 <= min(drawn) <= max(drawn) <= 0.9
    assert drawn == shown_similarities(write(make_workspace(name="again")).sections["random"])
    assert "random" not in write(workspace, gallery=400).sections


def test_coverage_is_shown_without_labels(make_workspace):
    workspace = make_workspace(labels=False)
    page = write(workspace)
    coverage = PairsManifest.read(workspace).image_coverage
    assert any(f"pairs at or above a similarity: {coverage:.1%} from 0.2" in chart for chart in page.charts())
    assert "precision is unknown" in page.sections["precision"]


def test_duplicates_have_a_gallery_of_their_own(make_workspace):
    workspace = make_workspace()
    page, images = write(workspace), PairsManifest.read(workspace).duplicate_images
    assert f"{images['groups']} groups" in page.sections["duplicates"]
    assert f"{images['images']} other images" in page.sections["duplicates"]
    assert shown_similarities(page.sections["duplicates"])
    assert min(shown_similarities(page.sections["duplicates"])) >= 0.9
    assert "duplicates" not in write(make_workspace(name="none", band={"min": 0.2, "max": 1.0})).sections


def test_what_the_pairs_are_made_of_is_shown(make_workspace):
    workspace = make_workspace()
    made = PairsManifest.read(workspace).composition
    partners = write(workspace).sections["degree"]
    assert f"as many images as {made.effective_images:.0f}" in partners
    assert f"Of {made.clusters.number} clusters of the vectors, {made.clusters.without_pairs} have no pair" in partners
    most = max(made.classes.ends)
    assert f"{most:,}" in partners and f"{most / sum(made.classes.ends):.1%}" in partners


def test_a_rule_is_named_at_the_head(make_workspace):
    workspace = make_workspace()
    path = workspace.pairs / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["request"] |= {"rule": "mutual", "neighbors": 7}
    write_signed(path, manifest)
    page = write(workspace)
    assert "each is among the 7 nearest of the other" in page.sections["head"]


def test_hubs_and_groups_have_sections_of_their_own(make_workspace):
    workspace = make_workspace(extras=True)
    page = write(workspace)
    record = PairsManifest.read(workspace)
    hubs, groups = page.sections["hubs"], page.sections["groups"]
    assert f"skewness is {record.neighbours['skewness']:.2f}" in hubs
    assert f"{record.neighbours['antihubs']:.1%} of the images are in no list" in hubs
    shown = [int(number) for number in re.findall(r"(\d+) lists?\b", hubs)]
    assert shown[-12:] == [hub["in_degree"] for hub in record.neighbours["hubs"]]
    alts = {image["alt"] for image in page.images()}
    names = [EmbeddingStore(workspace).metadata["path"][hub["row"]].as_py() for hub in record.neighbours["hubs"]]
    assert all(any(alt.endswith(PurePosixPath(name).name) for alt in alts) for name in names)
    assert sum("number of lists" in chart for chart in page.charts()) == 1
    for part in ("components", "complete_link"):
        assert f"{record.groups[part]['purity']:.1%}" in groups
    assert f"lowest similarity inside a group is {record.groups['complete_link']['lowest']:.3f}" in groups
    plain = write(make_workspace(name="plain"))
    assert "groups" not in plain.sections and "hubs" not in plain.sections


def test_contents_name_every_section_once(make_workspace):
    workspace = make_workspace(extras=True)
    page = write(workspace)
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    ids = [attributes["id"] for tag, attributes in page.elements if tag == "h2" and attributes["id"] in page.sections]
    assert [f"#{name}" for name in ids] == links[1:]


def test_largest_groups_and_lonely_images_are_sheets(make_workspace):
    workspace = make_workspace(extras=True)
    rows, groups = [1, 2, 3, 5, 8, 9], [1, 1, 3, 3, 3, 9]
    pq.write_table(pa.table({"row": rows, "group": groups}), workspace.pairs / "groups.parquet")
    page = write(workspace)
    paths = EmbeddingStore(workspace).metadata["path"].to_pylist()
    html = (workspace.report / "index.html").read_text()
    sheets = [part.split("</ol>")[0] for part in html.split('<ol class="gallery sheet">')[1:3]]
    shown = [re.findall(r'data-path="([^"]*)"', sheet) for sheet in sheets]
    assert shown == [[paths[row] for row in of] for of in ([3, 5, 8], [1, 2])]
    pairs = pq.read_table(workspace.pairs / "pairs.parquet")
    used = {*pairs["a"].to_pylist(), *pairs["b"].to_pylist()}
    count = len(paths) - len(used)
    assert ("alone" in page.sections) == (count > 0)
    assert without_partner(pairs, len(paths) + 2, len(paths) + 2)[1] == count + 2
    assert without_partner(pairs, len(paths), len(paths) - 1) == ([], 0)


def test_whole_images_are_shown_with_their_paths(make_workspace):
    assert whole_picture(Image.new("RGB", (1200, 300))).size == (400, 100)
    (thumbnail,) = make_thumbnails({0: Image.new("RGB", (400, 100))}, [0], 10**6).values()
    assert (thumbnail.width, thumbnail.height, thumbnail.tiny) == (400, 100, False)
    workspace = make_workspace()
    paths = EmbeddingStore(workspace).metadata["path"].to_pylist()
    write(workspace)
    assert {*re.findall(r'data-path="([^"]*)"', (workspace.report / "index.html").read_text())} <= {*paths}


def test_dots_of_the_map_show_the_pictures_of_their_images(make_workspace):
    workspace = make_workspace(labels=False)
    page = write(workspace)
    (shown,) = [attributes for _, attributes in page.elements if attributes.get("id") == "embedding-map"]
    names, places = json.loads(shown["data-names"]), json.loads(shown["data-places"])
    store = EmbeddingStore(workspace)
    assert names == [PurePosixPath(path).name for path in store.metadata["path"].to_pylist()]
    assert np.asarray(places).reshape(-1, 2).tolist() == dot_places(principal_map(store.vectors)[0]).tolist()
    dots = [attributes for tag, attributes in page.elements if attributes.get("class", "").startswith("point")]
    assert sum(attributes["d"].count("M") for attributes in dots) == len(store)
    assert "ten clusters" in page.sections["map"] and len(dots) == min(10, len(store))


def test_pairs_in_both_orders_are_shown_once(make_workspace):
    """The labels stay as they are, so the sections can be compared word for word."""
    one, both = (write(make_workspace(name=name, extras=name == "both")) for name in ("one", "both"))
    heads = [page.sections["head"].partition("Workspace")[0] for page in (one, both)]  # before the contents
    assert heads[0].split() == heads[1].split()
    for section in ("similarity", "precision", "degree", "gallery", "duplicates"):
        assert one.sections[section].split() == both.sections[section].split()
    assert shown_similarities(both.sections["gallery"])


def test_coverage_stands_beside_precision(make_workspace):
    workspace = make_workspace()
    section = write(workspace).sections["precision"]
    for point in PairsManifest.read(workspace).labels.by_threshold:
        assert f"{point['precision']:.1%}{point['images']}{point['coverage']:.1%}" in section


def test_an_empty_band_gets_a_page_that_says_so(make_workspace):
    workspace = make_workspace(band={"min": 0.9999, "max": 1.0})
    page = write(workspace)
    assert PairsManifest.read(workspace).pairs == 0
    assert "there are no two" in page.sections["head"]
    assert "holds no pair" in page.sections["gallery"]


def test_tiny_images_keep_every_pixel(make_workspace):
    workspace = make_workspace()
    page = write(workspace)
    image = next(image for image in page.images() if image["alt"])
    assert image["class"] == "pixelated" and image["width"] == "28"
    name = image["alt"].rpartition(", ")[2]
    shown = Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))).convert("L")
    source = open_source("sample")
    entry = next(entry for entry in source.entries if entry.path.endswith(f"/{name}"))
    assert shown.tobytes() == Image.open(io.BytesIO(source.read(entry))).convert("L").tobytes()


def test_images_that_are_gone_are_not_shown(make_workspace, make_photos):
    photos = make_photos(count=12)
    workspace = make_workspace(str(photos), images=12)
    gone = sorted(photos.rglob("*.jpg"))[:2]
    for image in gone:
        image.unlink()
    page = write(workspace, gallery=100)
    alts = {image["alt"].rpartition(", ")[2] for image in page.images()}
    assert alts.isdisjoint({image.name for image in gone}) and len(alts) > 2
    assert "2 images cannot be shown" in page.sections["gallery"]


@pytest.mark.parametrize("exported", [False, True])
def test_a_changed_image_is_refused_by_its_name(make_workspace, make_photos, exported: bool):
    photos = make_photos(count=12)
    workspace = make_workspace(str(photos), images=12)
    changed = sorted(photos.rglob("*.jpg"))[1]
    if exported:
        export(ExportOptions(), workspace)
        shard = workspace.shards / "images-000000.tar"
        shard.write_bytes(shard.read_bytes().replace(changed.read_bytes(), changed.read_bytes()[:-1] + b"\0"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    with pytest.raises(MinerError, match=rf"The image .*{changed.name} of .* has changed since it was embedded"):
        write(workspace, gallery=100)


def test_a_source_that_is_gone_leaves_the_numbers(make_workspace, make_photos):
    photos = make_photos(count=12)
    workspace = make_workspace(str(photos), images=12)
    photos.rename(photos.with_name("elsewhere"))
    page = write(workspace)
    assert page.images() == []
    assert "cannot be shown" in page.sections["gallery"] and shown_similarities(page.sections["gallery"])


def test_exported_images_are_shown_when_the_source_is_gone(make_workspace, make_photos):
    photos = make_photos(count=12)
    workspace = make_workspace(str(photos), images=12)
    export(ExportOptions(), workspace)
    photos.rename(photos.with_name("elsewhere"))
    page = write(workspace)
    assert len({image["alt"] for image in page.images()}) > 4
    assert "cannot be shown" not in page.text


def test_noisy_photographs_stay_below_five_megabytes(make_workspace, tmp_path):
    import numpy as np

    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    for number in range(40):
        noise = Image.fromarray(rng.integers(0, 255, (300, 300, 3), np.uint8))
        noise.save(tmp_path / "noise" / f"{number:02d}.jpg", quality=95)
    workspace = make_workspace(str(tmp_path / "noise"), labels=False)
    page = write(workspace, gallery=400)
    assert len(page.images()) > 300
    assert (workspace.report / "index.html").stat().st_size < 5_000_000


def test_pairs_of_other_embeddings_are_refused(make_workspace):
    workspace = make_workspace()
    manifest = json.loads((workspace.pairs / "manifest.json").read_text())
    manifest["request"]["embeddings"] = "0123"
    (workspace.pairs / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MinerError, match="other embeddings"):
        report(ReportOptions(), workspace)
    assert not workspace.report.exists()


def test_pairs_of_an_earlier_version_are_refused(make_workspace):
    workspace = make_workspace()
    manifest = json.loads((workspace.pairs / "manifest.json").read_text())
    del manifest["degree"]["partners"]
    (workspace.pairs / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MinerError, match=r"earlier version.*miner pairs --force"):
        report(ReportOptions(), workspace)


def test_without_pairs_the_command_that_makes_them_is_named(tmp_path: Path, make_workspace):
    with pytest.raises(MinerError, match="miner embed SOURCE"):
        report(ReportOptions(), Workspace(tmp_path / "empty"))
    workspace = make_workspace()
    (workspace.pairs / "manifest.json").unlink()
    with pytest.raises(MinerError, match="miner pairs"):
        report(ReportOptions(), workspace)


def test_torch_is_not_imported(make_workspace):
    code = "import sys; from miner.commands.app import app; app(sys.argv[1:], standalone_mode=False); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "report", "-w", str(make_workspace().root)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("report: ") and answer.stdout.endswith("False\n")


def test_cards_say_why_two_images_are_a_pair(make_workspace):
    workspace, other = make_workspace(images=24), make_workspace(images=24, name="other")
    path = vectors_path(other.embeddings, 0)
    np.save(path, np.load(path) ** 3)  # as another encoder sees them
    record = EmbeddingsManifest.read(other).record
    record["files"]["img_emb/img_emb_00000.npy"] = file_record(path)
    write_signed(other.embeddings / "manifest.json", record | {"encoder": {"name": "another_encoder"}})
    options = {"rule": "shared", "neighbors": 4, "shared": 2, "max": 0.99, "agree": [str(other.root)], "at_least": 1}
    pairs(PairsOptions(**options), workspace, force=True)
    section = " ".join(write(workspace, gallery=400, random=0).sections["gallery"].split())
    table = pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()
    for pair in table:
        there, back = (pair[name] or "not listed" for name in ("rank_b", "rank_a"))
        means = f"local means {pair['mean_a']:.3f} and {pair['mean_b']:.3f}"
        said = f"rank a→b {there}, b→a {back}; {means}; {pair['shared']} neighbours shared; "
        assert f"{said}chosen in {pair['votes']} of 2 embeddings (cosines there {pair['similarity_2']:.3f})" in section
    assert {pair["votes"] for pair in table} == {1, 2} and 0 in {pair["rank_a"] for pair in table}
    assert "Pairs chosen in at least 1 of 2 embeddings: " in section and "by another_encoder" in section


def test_pairs_of_a_band_get_the_ranks_of_all_images():
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float16)
    units = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    order = {row: [int(each) for each in np.argsort(-units @ units[row]) if each != row] for row in range(30)}
    (pair,) = ranked_pairs([{"a": 3, "b": 17}], MemoryVectors(vectors))
    assert pair == {"a": 3, "b": 17, "rank_a": order[17].index(3) + 1, "rank_b": order[3].index(17) + 1}
    assert ranked_pairs([pair | {"rank_a": 99}], MemoryVectors(vectors)) == [pair | {"rank_a": 99}]
