"""How the pairs were mined: facts for a reader, and the commands that make the data set again."""

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from miner.artifacts.pairs.band import Band
from miner.embed.encoder_name import parse_encoder
from miner.embed.options import EmbedOptions
from miner.engine.records import Record
from miner.export.options import ExportOptions
from miner.options import Options, flag_name
from miner.pairs.options import PairsOptions

_PACKAGES_OF = ("embed", "pairs")


def public_source(spec: str) -> str:
    """The name of a source without the folders of this machine: built-in names and URLs of the Hub stay whole."""
    if spec.startswith("hf://") or "/" not in spec:
        return spec
    return PurePath(spec.rstrip("/")).name or spec


def public_encoder(name: str) -> str:
    """The name of an encoder, without the folders of a local file."""
    parts = parse_encoder(name)
    if parts.path is None:
        return name
    before = f"{name.partition('@')[0]}@" if parts.model else f"{parts.family}:"
    return before + parts.path.name


def mining_facts(embeddings: Record, pairs: Record, stages: Mapping[str, Record]) -> list[tuple[str, str]]:
    """What decided which pairs were mined, as (name, value) rows of a table.

    Args:
        embeddings: manifest.
        pairs: manifest, with the counts of the pairs that were exported and what the export left out.
        stages: of run.json, for the versions; may be empty.
    """
    encoder, band = embeddings["encoder"], Band.from_record(pairs["request"]["band"])
    facts = [
        ("Images", f"{embeddings['count']:,} of {public_source(embeddings['request']['source'])}"),
        ("Encoder", f"{public_encoder(encoder['name'])}, frozen"),
        ("sha256 of its weights", encoder.get("weights_sha256", "unknown")),
        ("Licence of its weights", encoder.get("licence") or "unknown"),
        ("Labels that it has seen", encoder.get("labels_seen") or "unknown"),
        (
            "Vectors",
            f"{embeddings['dim']}-d, stored as {embeddings['dtype']}, computed in {embeddings.get('precision', 'float32')}",
        ),
        ("Similarity", "cosine of the stored vectors, in float64"),
        ("Band", f"{band}, both included"),
        ("Search", _search(pairs)),
        ("Limits on the pairs", _limits(pairs)),
        ("Duplicates", _duplicates(pairs)),
        ("Labels", "were not used to choose pairs; where the images have some, they are only reported"),
        ("Versions", _versions(embeddings, stages)),
    ]
    return [(name, str(value)) for name, value in facts]


def commands(embeddings: Record, pairs: Record, shards: Record) -> list[str]:
    """The commands that make the same files from the same images."""
    asked = dict(embeddings["request"])
    source = shlex.quote(public_source(asked.pop("source")))
    asked["encoder"] = public_encoder(asked["encoder"])
    mined = {**pairs["request"], **pairs["request"]["band"]}
    return [
        f"miner embed {source}{_flags(EmbedOptions, asked)}",
        f"miner pairs{_flags(PairsOptions, mined, always=('min', 'max'))}",
        f"miner export{_flags(ExportOptions, shards['request'])}",
    ]


def command_line(command: str, options: Options) -> str:
    """A command with those of its options that are not the default."""
    return f"miner {command}{_flags(type(options), options.plain())}"


def _flags(options: type[Options], values: Mapping[str, Any], always: tuple[str, ...] = ()) -> str:
    flags = []
    for field, info in options.model_fields.items():
        value = values.get(field, info.default)
        if (value == info.default and field not in always) or value is None:
            continue
        flag = flag_name(field)
        if isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            flags.append(f"{flag} {shlex.quote(f'{value:g}' if isinstance(value, float) else str(value))}")
    return "".join(f" {flag}" for flag in flags)


def _search(pairs: Record) -> str:
    if pairs.get("exact", False):
        return f"exact: no pair of the band was missed (engine {pairs.get('engine', 'exact')})"
    recall = pairs.get("recall")
    measured = (
        f"{recall:.2%} of the pairs of the band were found, measured" if isinstance(recall, float) else "recall unknown"
    )
    return f"approximate: {measured} (engine {pairs.get('engine', 'unknown')})"


def _limits(pairs: Record) -> str:
    request, left_out = pairs["request"], pairs["left_out"]
    known = {
        "sample": "mined among a random part of the images only ({})",
        "top_k": "at most {} partners per image, the most similar first",
        "most_similar": "only the {:,} most similar pairs of the band",
        "mutual": "only images that are among each other's nearest neighbours",
    }
    given = [text.format(request[name]) for name, text in known.items() if request.get(name)]
    reasons = {
        "max_degree": "{:,} pairs left out at export to limit the partners of an image",
        "rejected": "{:,} pairs left out that reviewers rejected",
    }
    given += [text.format(left_out[name]) for name, text in reasons.items() if left_out.get(name)]
    if request.get("both_orders"):
        given.append("none, but each pair is listed in both orders")
    return "; ".join(given) or "none"


def _duplicates(pairs: Record) -> str:
    band = Band.from_record(pairs["request"]["band"])
    return f"{pairs['duplicates']:,} pairs above {band.high:g} or of equal files are left out as near-identical"


def _versions(embeddings: Record, stages: Mapping[str, Record]) -> str:
    found = {"miner": embeddings["miner_version"]}
    for stage in _PACKAGES_OF:
        environment = stages.get(stage, {}).get("environment", {})
        found |= {"python": environment["python"]} if "python" in environment else {}
        found |= environment.get("packages", {})
    return ", ".join(f"{name} {version}" for name, version in found.items())
