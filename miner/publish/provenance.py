"""How the pairs were mined: facts for a reader, and the commands that make the data set again."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Self

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest, PairVotes
from miner.artifacts.review import ReviewRecord, read_review
from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import public_encoder
from miner.embed.options import EmbedOptions
from miner.engine import Record
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.options import Options, flag_name
from miner.pairs.options import PairsOptions
from miner.text import counted

_PACKAGES_OF = ("embed", "pairs")


def public_source(spec: str) -> str:
    """The name of a source without the folders of this machine: built-in names and URLs of the Hub stay whole."""
    if spec.startswith("hf://") or "/" not in spec:
        return spec
    return PurePath(spec.rstrip("/")).name or spec


@dataclass(frozen=True)
class Provenance:
    """The manifests of the stages that a data set comes from, and the log of each stage in run.json; a stage may have no log.

    Attributes:
        review: what people said of the pairs, as sentences without names.
    """

    embeddings: EmbeddingsManifest
    pairs: PairsManifest
    shards: ShardsManifest
    logged: Mapping[str, Record]
    review: Sequence[str] = ()

    @classmethod
    def read(cls, workspace: Workspace) -> Self:
        """Read the records of a workspace.

        Raises:
            MinerError: a stage is missing, stages do not belong together, or the embeddings were refined.
        """
        embeddings, pairs = EmbeddingsManifest.read(workspace), PairsManifest.read(workspace)
        shards = ShardsManifest.read(workspace, of=embeddings)
        if not shards.was_made_of(pairs):
            raise MinerError(f"{workspace.shards} belongs to other pairs. Run `miner export --force` first.")
        if not shards.sets:
            raise MinerError("The shards are of an older version of miner. Run `miner export --force` first.")
        voters = pairs.agreement.embeddings if pairs.agreement else []
        if not all(
            one.get("encoder") or one.get("vectors_files") for one in (embeddings.asked, *(v.asked for v in voters))
        ):
            raise MinerError(
                f"{workspace.embeddings}, or an embedding of --agree, was refined. Such pairs cannot be published: the data set "
                "would not say which commands make it."
            )
        return cls(embeddings, pairs, shards, workspace.logged(), _review(workspace, pairs, shards))

    @property
    def exported(self) -> PairsManifest:
        """The manifest of the pairs with the counts of those that were exported; a pair in both orders counts once."""
        chosen = {
            "pairs": self.shards.pairs // (2 if self.pairs.request.both_orders else 1),
            "images_in_pairs": self.shards.images_in_pairs,
            "image_coverage": self.shards.images_in_pairs / self.pairs.images,
            "labels": self.shards.labels,
        }
        return self.pairs.model_copy(update=chosen)

    def facts(self) -> list[tuple[str, str]]:
        """What decided which pairs were mined, as (name, value) rows of a table."""
        embeddings, pairs, encoder = self.embeddings, self.pairs, self.embeddings.encoder
        vectors = f"{embeddings.dim}-d, stored as {embeddings.dtype}"
        if embeddings.vectors is None:
            vectors += f", computed in {embeddings.precision}"
        asked = pairs.request
        duplicates = f"{counted(pairs.duplicates, 'pair')} above {asked.band.high:g} or of equal files"
        return [
            ("Images", f"{embeddings.count:,} of {public_source(embeddings.source.spec)}"),
            ("Encoder", f"{public_encoder(encoder.name)}, frozen")
            if embeddings.vectors is None
            else ("Encoder", f"not recorded: the vectors are those of {embeddings.vectors.name}"),
            ("sha256 of its weights", encoder.weights_sha256 or "unknown"),
            ("Licence of its weights", encoder.licence or "unknown"),
            ("Labels that it has seen", encoder.labels_seen or "unknown"),
            ("Vectors", vectors),
            ("Similarity", "cosine of the stored vectors, in float64"),
            ("Band", f"{asked.band}, both included")
            if asked.rule == "band"
            else ("Rule", f"{asked.rule}: {asked.condition}"),
            *([("Table", f"{pairs.table}; sha256 {pairs.asked['table']}")] if pairs.table else []),
            *([("Agreement", str(_public(pairs.agreement)))] if pairs.agreement else []),
            ("Search", _search(pairs)),
            ("Limits on the pairs", _limits(pairs, self.shards.left_out)),
            *self._spread(),
            ("Duplicates", f"{duplicates} are left out as near-identical"),
            ("Labels", "were not used to choose pairs; where the images have some, they are only reported"),
            ("Versions", _versions(embeddings, self.logged)),
        ]

    def _spread(self) -> list[tuple[str, str]]:
        """How the ends of the pairs spread, unless pairs were left out at export."""
        made = self.pairs.composition
        if made is None or any(self.shards.left_out.values()):
            return []
        return [
            (
                "Spread of the pairs",
                f"as many images as {made.effective_images:,.0f} that occur equally often ({made.effective_share:.1%}); "
                f"{made.clusters.without_pairs:,} of {counted(made.clusters.number, 'cluster')} of the vectors have no pair",
            )
        ]

    def commands(self) -> list[str]:
        """The commands that make the same files from the same images."""
        pairs, source = self.pairs, shlex.quote(public_source(self.embeddings.source.spec))
        voters = pairs.agreement.embeddings[1:] if pairs.agreement else []
        others = [f"agree-{place}" for place, _ in enumerate(voters, 2)]
        places = ["", *(f" -w {name}" for name in others)]
        asked = [
            {**request, **_encoder_flags(name), "source": None}
            for request, name in (
                (self.embeddings.asked, self.embeddings.encoder.name),
                *((voter.asked, voter.encoder) for voter in voters),
            )
        ]
        if given := self.embeddings.vectors:
            asked[0] |= {"keys": given.keys, "key_column": given.key_column}
        mined = {**pairs.asked, "metadata": pairs.metadata_table, "agree": others}
        mined["table"] = pairs.table and pairs.table.name
        band, of_a_band = pairs.request.band.record(), pairs.request.rule == "band"
        low = {"min": None} if not of_a_band and band["min"] == -1 else {}
        if pairs.table:  # it has no ceiling but --max, and `table` is no name of --rule
            mined["rule"], low = None, low | ({"max": None} if band["max"] == 1 else {})
        calibrations: list[str] = []
        if all(other["band"] == band for other in (pairs.asked.get("agree") or {}).values()):
            mined |= band | low
        else:  # each embedding has the calibrated band, or its upper end
            calibrations = [f"miner calibrate{place}" for place in places]
            mined |= {"auto": True} if of_a_band else {"min": band["min"]} | low
        return [
            *(f"miner embed {source}{_embed_flags(one)}{at}" for one, at in zip(asked, places, strict=True)),
            *calibrations,
            f"miner pairs{_flags(PairsOptions, mined, always=('min', 'max'))}",
            f"miner export{_flags(ExportOptions, self.shards.asked)}",
        ]


def _review(workspace: Workspace, pairs: PairsManifest, shards: ShardsManifest) -> list[str]:
    found, note = read_review(workspace, pairs)
    if found is None:
        other = ["People have judged other pairs of these images. What they said does not hold for these."]
        return other if note and ReviewRecord.find(workspace) else []
    left_out = sum(shards.left_out.values())
    told = (
        [f"The answers are about all mined pairs; {left_out:,} of these were left out at export."] if left_out else []
    )
    return [*found.sentences, *told]


def _embed_flags(asked: Record) -> str:
    return _flags(EmbedOptions, asked, always=("dtype",) if asked.get("vectors") else ())


def _encoder_flags(name: str) -> Record:
    """The options that name an encoder, or the vectors in place of one."""
    family, _, vectors = name.partition(":")
    return {"vectors": vectors} if family == "vectors" else {"encoder": public_encoder(name)}


def _public(agreement: PairVotes) -> PairVotes:
    """Without the folders of this machine."""
    voters = [voter.model_copy(update={"encoder": public_encoder(voter.encoder)}) for voter in agreement.embeddings]
    return agreement.model_copy(update={"embeddings": voters})


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
            texts = [f"{item:g}" if isinstance(item, float) else str(item) for item in _listed(value)]
            flags.append(f"{flag} {shlex.join(texts)}")
    return "".join(f" {flag}" for flag in flags)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _search(pairs: PairsManifest) -> str:
    if pairs.table:
        return "none: the pairs are those of the table"
    if pairs.exact:
        return f"exact: no pair of the {'band' if pairs.request.rule == 'band' else 'rule'} was missed (engine {pairs.engine})"
    return f"approximate: {pairs.completeness} (engine {pairs.engine})"


def _limits(pairs: PairsManifest, left_out: Mapping[str, int]) -> str:
    known = {
        "sample": "mined among a random part of the images only ({})",
        "top_k": "at most {} partners per image, the most similar first",
        "most_similar": "only the {:,} most similar pairs",
        "mutual": "only images that are among each other's nearest neighbours",
    }
    asked = dict(pairs.asked)
    if 0 < (asked.get("most_similar") or 0) < 1:  # a share of the images
        asked["most_similar"] = pairs.pairs
    given = [text.format(asked[name]) for name, text in known.items() if asked.get(name)]
    given += [f"{counted(one.left_out, 'pair')} left out by {one.constraint}" for one in pairs.constraints]
    reasons = {
        "max_degree": "{} left out at export to limit the partners of an image",
        "rejected": "{} left out that reviewers rejected",
        "not_retrieved": "{} left out with images that no image of another set is near to",
        "duplicates": "{} left out with the duplicate images that were not exported",
    }
    given += [text.format(counted(left_out[name], "pair")) for name, text in reasons.items() if left_out.get(name)]
    if pairs.request.both_orders:
        given.append("none, but each pair is listed in both orders")
    return "; ".join(given) or "none"


def _versions(embeddings: EmbeddingsManifest, logged: Mapping[str, Record]) -> str:
    found = {"miner": embeddings.miner_version}
    for stage in _PACKAGES_OF:
        environment = logged.get(stage, {}).get("environment", {})
        found |= {"python": environment["python"]} if "python" in environment else {}
        found |= environment.get("packages", {})
    return ", ".join(f"{name} {version}" for name, version in found.items())
