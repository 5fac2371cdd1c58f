"""Sets beside the images of a workspace: embedded as those were, below it, and refused where cosines would mean nothing."""

import time
from collections.abc import Sequence
from pathlib import Path

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import Record, Result
from miner.errors import UsageError
from miner.source.keys import hashed_key
from miner.source.location import canonical, is_local_folder
from miner.source.named.builtin import BUILTIN

# What of an embedding depends on its images, and not on how they are encoded.
_OF_THE_IMAGES = {"source", "image_column", "label_column", "limit"}


def is_workspace(name: str) -> bool:
    """Whether a set is a folder with embeddings, finished or not."""
    return is_local_folder(name) and is_local_folder(str(Path(name) / "embeddings/img_emb"))


def place_of(name: str) -> str:
    """One spelling of a set: a data set with a name, or `canonical`."""
    return name if name in BUILTIN else canonical(name)


def encoding_of(embeddings: EmbeddingsManifest) -> Record:
    """The options that encode other images as these were encoded; without `encoder` if none has made these vectors."""
    asked = embeddings.asked
    asked = {"runtime": "torch", **asked} if "encoder" in asked else asked
    return {name: asked[name] for name in EmbedOptions.model_fields.keys() - _OF_THE_IMAGES if name in asked}


def embed_set(options: EmbedOptions, below: Workspace, force: bool = False) -> tuple[Workspace, Result]:
    """Embed a set into `sets/` of a workspace. One image is enough, and any number may be unreadable.

    Returns:
        The workspace of the set, whose name is made of the set and its encoder, and the result of the stage.
    Raises:
        MinerError: as of `embed`; or another command works in this workspace.
    """
    place, how = (options.source, options.encoder) if options.vectors is None else (options.vectors, "vectors")
    own = Workspace(below.root / "sets" / hashed_key(f"{place_of(str(place))}/{how}"))
    options = options.model_copy(update={"max_errors": 1.0})
    with own.locked():
        started = time.monotonic()
        result = embed(options, own, force=force, least=1)
        own.log_stage("embed", options.plain(), result, time.monotonic() - started)
    return own, result


def refuse_other_encoders(names: Sequence[str], sets: Sequence[EmbeddingsManifest]) -> None:
    """Refuse vectors of another encoder than those of the first set. Of vectors that existed already, only the width is known.

    Raises:
        UsageError: there are some.
    """
    for name, other in zip(names[1:], sets[1:], strict=True):
        if not (_same_encoder(sets[0], other) and sets[0].dim == other.dim):
            made = [f"{each.encoder.name} ({each.dim} dimensions)" for each in (sets[0], other)]
            by = made[1] if made[0] != made[1] else f"{made[1]} with other weights or settings"
            raise UsageError(
                f"{names[0]} was embedded by {made[0]}, and {name} by {by}. Cosines between two encoders mean nothing. Name "
                f"the images ({other.source.spec}) instead of the workspace, and they are embedded by one encoder."
            )


def _same_encoder(one: EmbeddingsManifest, other: EmbeddingsManifest) -> bool:
    if one.request.vectors_files or other.request.vectors_files:
        return True  # nobody knows what made vectors that existed already
    alone = "refined" in one.encoder.name.split()  # every refinement has a network of its own
    return _deciding(one) == _deciding(other) and (one.identity == other.identity or not alone)


def _deciding(embeddings: EmbeddingsManifest) -> Record:
    """What of an encoder decides the vectors. A name may be a path, so it counts only where the weights have no checksum."""
    record = embeddings.record["encoder"]
    passed_over = ("licence", "labels_seen", *(["name"] if record.get("weights_sha256") else []))
    return {name: value for name, value in record.items() if name not in passed_over}
