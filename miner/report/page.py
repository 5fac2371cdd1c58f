"""The page: variables for the templates, from findings, pairs and images."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Vectors
from miner.artifacts.overview.next_step import next_step
from miner.artifacts.overview.parts import Part
from miner.artifacts.parquet import read_columns
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError
from miner.machine.memory import format_bytes
from miner.report.charts.degree import degree_chart
from miner.report.charts.precision import coverage_points, precision_chart
from miner.report.charts.similarity import similarity_chart
from miner.report.findings import Findings
from miner.report.galleries.album import Album, open_album
from miner.report.galleries.cards import card_image, cards, drawn_pairs, pairs_to_show, spread_pairs, strip
from miner.report.galleries.collections import largest_groups, partners, without_partner
from miner.report.galleries.ranks import ranked_pairs
from miner.report.galleries.thumbnails import make_thumbnails
from miner.report.graphs.embedding_map import embedding_map
from miner.report.graphs.sections import graph_sections
from miner.report.options import ReportOptions
from miner.report.sections.head import headline, key_numbers
from miner.report.sections.review import disputed_pairs, review_section
from miner.report.sections.settings import environment_tables, request_tables
from miner.report.sections.training import accuracy_rows, curves_by_method, evaluation_settings, run_rows, run_verdicts
from miner.report.text import percent, source_name
from miner.text import count, counted

_TEMPLATES = Path(__file__).parent / "templates"
_DUPLICATES_SHOWN = 12
_CLASSES_SHOWN = 20
_FAILURES_SHOWN = 200
_THUMBNAIL_BYTES = 3_800_000
_CONTENTS = "<!-- contents -->"
_HEADING = re.compile(r'<section[^>]*>\s*<h2 id="(?P<name>[a-z-]+)"[^>]*>(?P<title>[^<]+)</h2>')


def build_page(options: ReportOptions, workspace: Workspace, findings: Findings) -> str:
    """The page as HTML. Equal findings and images give equal text.

    Raises:
        MinerError: a table of the workspace is missing or damaged.
    """
    pairs = pairs_to_show(workspace.pairs / "pairs.parquet")
    album = open_album(workspace, findings)
    script = (_TEMPLATES / "page.js").read_text("utf-8")
    vectors = EmbeddingStore(workspace).stored
    map_of_images = embedding_map(album, vectors)
    page = (
        templates()
        .get_template("page.html")
        .render(
            title=f"Semantic pairs of {source_name(findings.embeddings.source.spec)}",
            headline=headline(findings),
            key_numbers=key_numbers(findings),
            **_workspace(workspace, findings),
            **_similarity(findings, pairs),
            review=review_section(findings),
            **_degree(findings, pairs),
            groups=findings.pairs.groups,
            **_galleries(options, workspace, findings, pairs, album, vectors, map_of_images),
            map=map_of_images,
            **graph_sections(workspace, findings, album),
            runs=run_rows(findings.runs),
            methods=curves_by_method(findings.runs),
            accuracies=accuracy_rows([findings.encoder, *findings.runs]),
            verdicts=run_verdicts([findings.encoder, *findings.runs]),
            evaluation_settings=evaluation_settings([findings.encoder, *findings.runs]),
            unevaluated=[run.name for run in findings.runs if run.manifest and not run.evaluations],
            **_failures(workspace, findings),
            requests=request_tables(findings),
            environments=environment_tables(findings),
            script=Markup(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    return page.replace(
        _CONTENTS, "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in _HEADING.findall(page)), 1
    )


def templates(*folders: Path) -> Environment:
    """The templates in some folders, and those of the report with its style. Every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "percent": percent, "counted": counted}
    return environment


def _workspace(workspace: Workspace, findings: Findings) -> Record:
    """What is there beside this page, and what comes next once the page is there."""
    rows = [
        {
            **{name: getattr(part, name) for name in ("name", "state", "note", "content")},
            "made_from": source_name(part.made_from) if part.name == "embeddings" else part.made_from,
            "size": format_bytes(part.size_bytes),
        }
        for part in findings.parts
    ]
    page = Part(workspace.report, "report", "")
    return {"parts": rows, "next_step": next_step(workspace, [*findings.parts, page], placed=False)}


def _similarity(findings: Findings, table: pa.Table) -> Record:
    pairs = findings.pairs
    labels = pairs.labels
    points, by_rule = labels.by_threshold if labels else [], pairs.request.rule != "band"
    coverage = None
    if labels is None and len(table):
        coverage = precision_chart(coverage_points(table, pairs.images), None)
    return {
        "band": pairs.request.band,
        "by_rule": by_rule,
        "similarity": similarity_chart(
            pairs.histogram, pairs.request.band, table["similarity"].to_numpy() if by_rule else None
        ),
        "same_label": any(pairs.histogram.get("same_label") or []),
        "estimated": pairs.histogram["pairs_per_count"] > 0.5,
        "calibration": findings.calibration,
        "proposal": pairs.proposal,
        "labels": labels,
        "points": points,
        "precision": precision_chart(points, labels.chance) if labels and points else None,
        "coverage_chart": coverage,
    }


def _degree(findings: Findings, pairs: pa.Table) -> Record:
    images = findings.embeddings.count
    ends = np.concatenate([pairs["a"].to_numpy(), pairs["b"].to_numpy()])
    if len(ends) and not 0 <= ends.min() <= ends.max() < images:
        raise MinerError("pairs.parquet names images that are not embedded. Run `miner pairs --force` again.")
    degree, neighbours = findings.pairs.degree, findings.pairs.neighbours
    in_degree = neighbours["in_degree"] if neighbours else None
    return {
        "degree": degree,
        "images": findings.pairs.images,
        "images_in_pairs": findings.pairs.images_in_pairs,
        "coverage": findings.pairs.image_coverage,
        "composition": findings.pairs.composition,
        "classes": _classes(findings),
        "degree_chart": degree_chart(np.repeat(degree.partners, degree.images)) if len(ends) else None,
        "neighbours": neighbours,
        "in_degree_chart": degree_chart(np.repeat(in_degree["lists"], in_degree["images"]), "lists")
        if in_degree
        else None,
    }


def _classes(findings: Findings) -> list[tuple[str, int, int, float]]:
    """Name, images, pair ends and share of all ends of the classes with the most ends."""
    made, names = findings.pairs.composition, findings.embeddings.source.classes
    if made is None or made.classes is None:
        return []
    rows = sorted(zip(made.classes.names, made.classes.images, made.classes.ends, strict=True), key=lambda row: -row[2])
    total = max(sum(made.classes.ends), 1)
    return [
        (names[number] if names else str(number), images, ends, ends / total)
        for number, images, ends in rows[:_CLASSES_SHOWN]
    ]


def _galleries(
    options: ReportOptions,
    workspace: Workspace,
    findings: Findings,
    pairs: pa.Table,
    album: Album,
    vectors: Vectors,
    map_of_images: Record | None,
) -> Record:
    """The cards of all galleries, whose thumbnails together keep to `_THUMBNAIL_BYTES`."""
    source = findings.embeddings.source
    duplicates = pairs_to_show(workspace.pairs / "duplicates.parquet")
    shown = ranked_pairs(spread_pairs(pairs, options.gallery), vectors)
    drawn = ranked_pairs(drawn_pairs(pairs, options.random), vectors) if len(pairs) > options.gallery else []
    shown_duplicates = spread_pairs(duplicates, _DUPLICATES_SHOWN)
    hubs = findings.pairs.neighbours["hubs"] if findings.pairs.neighbours else []
    disputed = disputed_pairs(findings, pairs, album.metadata)
    judged = [pair for pair, _ in disputed]
    in_pairs = [pair[side] for pair in [*shown, *drawn, *shown_duplicates, *judged] for side in ("a", "b")]
    groups, (alone, alone_count) = (
        largest_groups(workspace),
        without_partner(pairs, findings.embeddings.count, findings.pairs.images),
    )
    uses = [*in_pairs, *(hub["row"] for hub in hubs), *alone, *(row for rows in groups for row in rows)]
    images = album.images(uses)
    pictures = album.pictures(images)
    thumbnails = make_thumbnails(pictures, uses, _THUMBNAIL_BYTES)
    gallery = cards(shown, images, thumbnails, album.classes)

    def image(row: int) -> Record:
        return card_image(images[row].path, images[row].label, thumbnails.get(row), album.classes)

    return {
        "gallery": gallery,
        "strip": strip(gallery),
        "random": cards(drawn, images, thumbnails, album.classes),
        "duplicates": cards(shown_duplicates, images, thumbnails, album.classes),
        "disputed": [
            {**card, "reasons": answers}
            for card, (_, answers) in zip(cards(judged, images, thumbnails, album.classes), disputed, strict=True)
        ],
        "hubs": [{"image": image(hub["row"]), "in_degree": hub["in_degree"]} for hub in hubs],
        "sheets": [[image(row) for row in rows] for rows in groups],
        "alone": [image(row) for row in alone],
        "alone_count": alone_count,
        "pair_count": len(pairs),
        "agreement": str(findings.pairs.agreement) if findings.pairs.agreement else None,
        "ranked": bool(shown and "rank_a" in shown[0]),
        "local_means": "mean_a" in pairs.column_names,
        "partners": _partners(pairs, uses, album, map_of_images["rows"] if map_of_images else []),
        "constraints": [str(constraint) for constraint in findings.pairs.constraints],
        "duplicate_count": len(duplicates),
        "duplicate_images": findings.pairs.duplicate_images,
        "missing_images": len(images) - len(pictures),
        "without_images": source.remedy if source.without_images else None,
    }


def _partners(pairs: pa.Table, rows: list[int], album: Album, dots: list[int]) -> Record:
    """For the script of the page, by the path of an image: its number of partners, and of some path, cosine and dot."""
    of = partners(pairs, rows)
    images = album.images({*of, *(other for _, best in of.values() for other, _ in best)})
    place = {row: number for number, row in enumerate(dots)}
    return {
        images[row].path: [
            count,
            [[images[other].path, round(cosine, 3), place.get(other, -1)] for other, cosine in best],
        ]
        for row, (count, best) in of.items()
    }


def _failures(workspace: Workspace, findings: Findings) -> Record:
    errors = read_columns(workspace.embeddings / "errors.parquet", ["path", "reason"], "miner embed SOURCE")
    return {
        "reasons": sorted(findings.embeddings.errors.items(), key=lambda item: (-item[1], item[0])),
        "failures": errors.slice(0, _FAILURES_SHOWN).to_pylist(),
        "failure_count": len(errors),
    }
