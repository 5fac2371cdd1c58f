"""README.md: the card that the Hugging Face Hub shows, and its front matter."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from miner.machine.memory import format_bytes
from miner.publish.about import CITATIONS, About
from miner.publish.contents import DATA, Config

_POWERS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")  # of ten, from 1,000 on
_MARKUP = re.compile(r"[\\`*\[\]~|]|(?<!\w)_|_(?!\w)")  # an underscore inside a word is one
_HTML = re.compile(r"<(?=[a-zA-Z/!?])|&(?=#|\w+;)")
_TAGS = ["semantic-pairs", "image-pairs", "self-supervised-learning", "contrastive-learning", "webdataset", "croissant"]

_VERDICT = (
    "what most reviewers said of the pair: same, near-duplicate, different or unsure. It is null without a majority"
)


def card(about: About) -> str:
    """The card as Markdown, rendered from card.md."""
    contents = about.contents
    pictures = next(iter(contents.of_kind("anchor-positive")), None)
    return _rendered(
        "card.md",
        front_matter(about),
        about,
        pictures=pictures,
        images=contents.of_kind("images"),
        inline=_inline(contents.of_kind("pairs-inline")),
        citations=CITATIONS,
        columns={**_evidence(about), **_verdict(pictures)},
        negatives=_negatives(pictures),
    )


def shards_card(about: About) -> str:
    """The card of the folder of shards, rendered from shards.md; with it `datasets` loads each set of shards by its name."""
    return _rendered("shards.md", _configs(about.contents.shard_sets, below=f"{DATA}/"), about)


def _rendered(template: str, front: dict[str, Any], about: About, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"size": format_bytes, "cell": _cell, "plain": _plain, "untagged": _untagged}
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)
    arguments = partial(_shard_arguments, about)
    return environment.get_template(template).render(front=text, about=about, shard_arguments=arguments, **values)


def front_matter(about: About) -> dict[str, Any]:
    """Metadata of the Hub: https://huggingface.co/docs/hub/datasets-cards."""
    return {
        "pretty_name": about.title,
        **about.licences.front_matter(),
        "task_categories": ["image-feature-extraction"],
        "size_categories": [size_category(about.contents.tables[0].rows)],
        "tags": _TAGS,
        **_configs(about.contents.tables),
    }


def _configs(configs: Sequence[Config], below: str = "") -> dict[str, Any]:
    """Configurations of one format: `datasets` reads all of a card in the format of the first (huggingface/datasets#6447)."""
    files = [{"split": "train", "path": config.pattern.removeprefix(below)} for config in configs]
    listed = [
        {"config_name": config.name, "data_files": [file], **({"default": True} if config is configs[0] else {})}
        for config, file in zip(configs, files, strict=True)
    ]
    return {"configs": listed, "dataset_info": [_info(config) for config in configs]}


def _shard_arguments(about: About, config: Config) -> str:
    """The arguments of `load_dataset` for a set of shards. The Hub knows one card a repository, so there files are named."""
    if "/" not in about.name:
        return f'"{about.name}/{DATA}", "{config.name}"'
    return f'"webdataset", data_files={{"train": "hf://datasets/{about.name}/{config.pattern}"}}'


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows, such as `1K<n<10K`."""
    digits = len(str(rows))
    if digits < 4:
        return "n<1K"
    return "n>1T" if digits > 12 else "<n<".join(_POWERS[digits - 4 : digits - 2])


def _evidence(about: About) -> dict[str, str]:
    """What the columns mean that say why a rule has chosen a pair, by name."""
    k = about.pairs.request.neighbors
    meanings = {
        "rank_a": f"the rank of a among the {k} nearest of b, 0 if it is not among them",
        "rank_b": f"the rank of b among the {k} nearest of a",
        "local": "the locally scaled similarity: twice the cosine minus `mean_a` and `mean_b`",
        "mean_a": f"the mean cosine of a to its {k} nearest",
        "mean_b": f"the mean cosine of b to its {k} nearest",
        "shared": f"how many of their {2 * (k or 0)} nearest both have in common",
        "table_score": "the score of the given table",
        "votes": "how many embeddings choose the pair",
    }
    held = [feature["name"] for feature in about.contents.tables[0].features or []]
    return {name: meanings[name] for name in held if name in meanings}


def _verdict(pictures: Config | None) -> dict[str, str]:
    names = (pictures.schema or pa.schema([])).names if pictures else []
    return {"verdict": _VERDICT} if "verdict" in names else {}


def _negatives(pictures: Config | None) -> str:
    """What the column `negatives` holds."""
    found = {feature["name"]: feature for feature in (pictures and pictures.features) or []}.get("negatives")
    if found is None:
        return ""
    form = "images" if found["list"] == "image" else "keys of the images"
    return (
        f"`negatives`: the {form} most similar to the anchor below the pairs, the most similar first. No chain of pairs "
        "joins them to it. Labels were not used, so some may show the same thing."
    )


def _info(config: Config) -> dict[str, Any]:
    split = {"name": "train", "num_bytes": config.num_bytes, "num_examples": config.rows}
    features = {"features": config.features} if config.features else {}
    sizes = {"download_size": config.bytes, "dataset_size": config.num_bytes}
    return {"config_name": config.name, **features, "splits": [split], **sizes}


def _inline(configs: Sequence[Config]) -> dict[str, str] | None:
    """The arguments with which `webdataset` reads all pair shards."""
    if not configs:
        return None
    columns = [config.image_columns for config in configs]
    sides = {side: ";".join(dict.fromkeys(pair[number] for pair in columns)) for number, side in enumerate("ab")}
    return {"shards": "::".join(_braces(config) for config in configs), **sides}


def _braces(config: Config) -> str:
    """Names of the shards in brace notation."""
    first, last = config.files[0].name, len(config.files) - 1
    return first if last == 0 else first.replace("-000000.", f"-{{000000..{last:06d}}}.")


def _plain(text: str) -> str:
    """Words of the publisher as one line of Markdown that shows them as they are."""
    return _MARKUP.sub(r"\\\g<0>", _untagged(" ".join(text.split())))


def _untagged(text: str) -> str:
    """Markdown without tags and entities of HTML."""
    return _HTML.sub(lambda match: {"<": "&lt;", "&": "&amp;"}[match[0]], text)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
