"""README.md: the card that the Hugging Face Hub shows, and its front matter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from miner.publish.about import CITATIONS, About
from miner.publish.contents import Config

_SIZE_CATEGORIES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
    10**9: "100M<n<1B",
    10**10: "1B<n<10B",
    10**11: "10B<n<100B",
    10**12: "100B<n<1T",
}
_TAGS = ["semantic-pairs", "image-pairs", "self-supervised-learning", "contrastive-learning", "webdataset", "croissant"]


def card(about: About) -> str:
    """The card as Markdown, rendered from card.md."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"size": size, "cell": _cell}
    front = yaml.safe_dump(front_matter(about), sort_keys=False, allow_unicode=True, width=1000)
    return environment.get_template("card.md").render(
        front=front,
        about=about,
        images=about.contents.of_kind("images"),
        inline=_inline(about.contents.of_kind("pairs-inline")),
        citations=CITATIONS,
    )


def front_matter(about: About) -> dict[str, Any]:
    """Metadata of the Hub: https://huggingface.co/docs/hub/datasets-cards."""
    configs = about.contents.configs
    pairs = configs[0]
    return {
        "pretty_name": about.title,
        **about.licences.front_matter(),
        "task_categories": ["image-feature-extraction"],
        "size_categories": [size_category(pairs.rows)],
        "tags": _TAGS,
        "configs": [_config(config, default=config is pairs) for config in configs],
        "dataset_info": [_info(config) for config in configs],
    }


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    return next((name for limit, name in _SIZE_CATEGORIES.items() if rows < limit), "n>1T")


def size(size_bytes: int) -> str:
    """Bytes in decimal units: 1,234,567 is 1.2 MB."""
    amount, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def _config(config: Config, default: bool) -> dict[str, Any]:
    files = [{"split": "train", "path": config.pattern}]
    return {"config_name": config.name, "data_files": files, **({"default": True} if default else {})}


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


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
