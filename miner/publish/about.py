"""What both the card and the Croissant record say about a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from miner.artifacts.pairs.band import Band
from miner.engine.records import Record
from miner.publish.contents import Contents
from miner.publish.licences import Licences
from miner.publish.options import PublishOptions
from miner.publish.provenance import commands, mining_facts, public_encoder, public_source

CITATIONS = (
    """@article{alkhalefi2024semantic,
  title   = {Semantic Positive Pairs for Enhancing Visual Representation Learning of Instance Discrimination Methods},
  author  = {Alkhalefi, Mohammad and Leontidis, Georgios and Zhong, Mingjun},
  journal = {Transactions on Machine Learning Research},
  year    = {2024},
  note    = {arXiv:2306.16122},
}""",
    """@article{alkhalefi2025enhancing,
  title   = {Enhancing Self-Supervised Learning with Semantic Pairs: A New Dataset and Empirical Study},
  author  = {Alkhalefi, Mohammad and Leontidis, Georgios and Zhong, Mingjun},
  journal = {arXiv preprint arXiv:2510.08722},
  year    = {2025},
}""",
)


@dataclass(frozen=True)
class About:
    """What card and Croissant record say about a data set, and what the data set consists of.

    Attributes:
        name: what a reader passes to `load_dataset`.
        authors: may be empty.
        facts: how the pairs were mined.
        commands: that make the data set again.
        pairs: the manifest of the pairs, with the counts and the precision of those that were exported.
        limits: what a reader should know before use, a sentence or two each.
    """

    name: str
    title: str
    description: str
    authors: Sequence[str]
    homepage: str | None
    release: str
    date: str | None
    licences: Licences
    contents: Contents
    facts: Sequence[tuple[str, str]]
    commands: Sequence[str]
    pairs: Record
    limits: Sequence[str]


def describe(
    options: PublishOptions,
    name: str,
    date: str | None,
    licences: Licences,
    contents: Contents,
    records: Mapping[str, Record],
    command: str,
) -> About:
    """What card and Croissant record say, from the options, with defaults from the manifests.

    Args:
        records: manifests of `embeddings`, `pairs` and `shards`, and the `stages` of run.json.
        command: the `miner publish` that is running.
    """
    embeddings, mined, shards = (records[stage] for stage in ("embeddings", "pairs", "shards"))
    pairs = _exported(mined, shards)
    source = public_source(embeddings["request"]["source"])
    authors = [author.strip() for author in (options.author or "").split(";")]
    return About(
        name=name,
        title=options.title or f"Semantic pairs of {source}",
        description=options.description or _description(source, embeddings, pairs),
        authors=[author for author in authors if author],
        homepage=options.homepage,
        release=options.release,
        date=date,
        licences=licences,
        contents=contents,
        facts=mining_facts(embeddings, pairs, records["stages"]),
        commands=[*commands(embeddings, mined, shards), command],
        pairs=pairs,
        limits=_limits(embeddings, pairs),
    )


def _exported(pairs: Record, shards: Record) -> Record:
    """The manifest of the pairs with the counts of those that the export chose; a pair in both orders counts once."""
    orders = 2 if pairs["request"].get("both_orders") else 1
    chosen = {name: shards[name] for name in ("images_in_pairs", "labels", "left_out")}
    coverage = shards["images_in_pairs"] / pairs["images"]
    return {**pairs, **chosen, "pairs": shards["pairs"] // orders, "image_coverage": coverage}


def _description(source: str, embeddings: Record, pairs: Record) -> str:
    band, encoder = Band.from_record(pairs["request"]["band"]), public_encoder(embeddings["encoder"]["name"])
    return (
        f"{pairs['pairs']:,} pairs of different images of {source} that mean the same to a frozen encoder: their cosine similarity "
        f"under {encoder} is {band}. They serve as additional positives for self-supervised "
        "pretraining of vision encoders."
    )


def _limits(embeddings: Record, pairs: Record) -> list[str]:
    seen = embeddings["encoder"].get("labels_seen")
    labels = pairs["labels"]
    degree = "" if any(pairs["left_out"].values()) else _degree(pairs["degree"])
    if not seen or str(seen).lower() == "none":
        heritage = "What the encoder was trained on decides what it takes for similar"
    else:
        heritage = (
            f"The encoder has seen labels ({seen}), and carries them into the pairs: they are not free of supervision"
        )
    known = "" if labels and labels["precision"] is not None else ", and these images have no labels to measure it by"
    return [
        f"{heritage}. Its blind spots and its biases (what its training images showed, and whom) are those of the pairs.",
        "The band belongs to this encoder and these images; the same numbers mean something else elsewhere.",
        f"A pair is what one encoder takes for the same thing. Some pairs are wrong{known}.",
        f"Coverage is uneven: {pairs['image_coverage']:.1%} of the images are in a pair{degree}. Images that look like many "
        "others are in many pairs and weigh more.",
        "Near-identical images below the upper end of the band may remain among the pairs. A split into training and test "
        "data should keep the two images of a pair together.",
        "Images were neither filtered nor reviewed for people, personal data or offensive content beyond what their source did.",
    ]


def _degree(degree: Record) -> str:
    return (
        f", and such an image has {degree['mean']:.1f} partners on average, {degree['median']:g} in the median and "
        f"{degree['max']:,} at most"
    )
