"""What both the card and the Croissant record say about a data set."""

from collections.abc import Sequence
from dataclasses import dataclass

from miner.artifacts.pairs.manifest import PairsManifest
from miner.embed.encoder_name import public_encoder
from miner.engine import Record
from miner.publish.changes import in_words
from miner.publish.contents import Contents
from miner.publish.licences import Licences, plain_url
from miner.publish.options import PublishOptions
from miner.publish.provenance import Provenance, public_source
from miner.text import counted

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
        facts: how the pairs were mined.
        commands: that make the data set again.
        pairs: the manifest of the pairs, with the counts and the precision of those that were exported.
        review: what people said of the pairs, a sentence or two each.
        limits: what a reader should know before use, a sentence or two each.
        changes: what each release changed, the latest first.
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
    pairs: PairsManifest
    review: Sequence[str]
    limits: Sequence[str]
    changes: Sequence[str]


def describe(
    options: PublishOptions,
    name: str,
    date: str | None,
    licences: Licences,
    contents: Contents,
    provenance: Provenance,
    command: str,
    history: Sequence[Record],
) -> About:
    """What card and Croissant record say, from the options, with defaults from the manifests.

    `command` is the running one, and `history` that of `Release`.
    """
    source = public_source(provenance.embeddings.source.spec)
    authors = [author.strip() for author in (options.author or "").split(";")]
    return About(
        name=name,
        title=options.title or f"Semantic pairs of {source}",
        description=options.description or _description(source, provenance),
        authors=[author for author in authors if author],
        homepage=options.homepage and plain_url("homepage", options.homepage),
        release=options.release,
        date=date,
        licences=licences,
        contents=contents,
        facts=provenance.facts(),
        commands=[*provenance.commands(), command],
        pairs=provenance.exported,
        review=provenance.review,
        limits=_limits(provenance),
        changes=[in_words(entry) for entry in history],
    )


def _description(source: str, provenance: Provenance) -> str:
    pairs, encoder = provenance.exported, public_encoder(provenance.embeddings.encoder.name)
    asked = pairs.request
    meaning = f"their cosine similarity under {encoder} is {asked.band}"
    if pairs.table:
        return (
            f"{counted(pairs.pairs, 'pair')} of different images of {source}, from the table {pairs.table.name} that "
            f"was given, with their cosine similarity under {encoder}. They serve as additional positives for "
            "self-supervised pretraining of vision encoders."
        )
    if asked.rule != "band":
        meaning = f"they are neighbours under {encoder} ({asked.condition})"
    return (
        f"{counted(pairs.pairs, 'pair')} of different images of {source} that mean the same to a frozen encoder: "
        f"{meaning}. They serve as additional positives for self-supervised pretraining of vision encoders."
    )


def _limits(provenance: Provenance) -> list[str]:
    pairs, encoder = provenance.exported, provenance.embeddings.encoder
    degree = (
        f", and such an image has {pairs.degree.mean:.1f} partners on average, {pairs.degree.median:g} in the median and "
        f"{pairs.degree.max:,} at most"
    )
    if any(provenance.shards.left_out.values()):
        degree = ""
    heritage = {
        False: "What the encoder was trained on decides what it takes for similar",
        None: "Whether the encoder has seen labels is not known; if so, it carries them into the pairs",
        True: f"The encoder has seen labels ({encoder.labels_seen}), and carries them into the pairs: they are not free of "
        "supervision",
    }[encoder.saw_labels]
    of_a_band = pairs.request.rule == "band"
    owner, end = ("band", "upper end of the band") if of_a_band else 2 * ("ceiling of duplicates",)
    measured = pairs.labels and pairs.labels.precision is not None
    known = "" if measured else ", and these images have no labels to measure it by"
    owners = [
        f"The {owner} belongs to this encoder and these images; the same numbers mean something else elsewhere.",
        f"A pair is what one encoder takes for the same thing. Some pairs are wrong{known}.",
    ]
    if pairs.table:
        owners = [f"A pair is what the maker of the table takes for one. Some pairs may be wrong{known}."]
    return [
        f"{heritage}. Its blind spots and its biases (what its training images showed, and whom) are those of the pairs.",
        *owners,
        f"Coverage is uneven: {pairs.image_coverage:.1%} of the images are in a pair{degree}. Images that look like many "
        "others are in many pairs and weigh more.",
        f"Near-identical images below the {end} may remain among the pairs. A split into training and test data "
        "should keep the two images of a pair together.",
        "Images were neither filtered nor reviewed for people, personal data or offensive content beyond what their source did.",
    ]
