"""`miner publish`: the shards and pairs of a workspace as a data set repository, on disk or on the Hugging Face Hub."""

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from miner import __version__
from miner.artifacts.manifests import PublishedManifest
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import public_encoder
from miner.engine import (
    Progress,
    Record,
    Result,
    Unit,
    file_record,
    fingerprint,
    finished_items,
    folder_lock,
    json_bytes,
    run,
)
from miner.engine.atomic import write_bytes, write_json
from miner.engine.records import signed
from miner.errors import UsageError
from miner.machine.memory import format_bytes
from miner.publish.about import About, describe
from miner.publish.card import card, shards_card
from miner.publish.changes import CHANGES, Release, in_words, read_release
from miner.publish.contents import DATA, DataFile, read_contents
from miner.publish.croissant import croissant
from miner.publish.hub import upload
from miner.publish.image_pairs import ImagePairs, read_image_pairs
from miner.publish.licences import licences
from miner.publish.link_files import link_or_copy, prepare_folder
from miner.publish.options import PublishOptions
from miner.publish.provenance import Provenance, command_line
from miner.text import counted

_TEXTS = ("README.md", "croissant.json", f"{DATA}/README.md", f"{DATA}/manifest.json", "SHA256SUMS")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


@dataclass(frozen=True)
class Destination:
    """A folder of this machine, and the repository that the folder is uploaded to, if any."""

    folder: Path
    repository: str | None = None

    @property
    def name(self) -> str:
        """What a reader passes to `load_dataset`."""
        return self.repository or self.folder.name


def destination(to: str | None, workspace: Workspace) -> Destination:
    """The meaning of `--to`. A data set for the Hub is first written to the workspace.

    Raises:
        UsageError: `to` names neither a folder nor a data set repository.
    """
    if to is None:
        return Destination(workspace.published)
    if to.startswith("hf://"):
        repository = to.removeprefix("hf://").removeprefix("datasets/").rstrip("/")
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(f"--to {to}: write hf://ORG/NAME, with letters, digits, '.', '_' and '-'.")
        return Destination(workspace.published, repository)
    if "://" in to:
        raise UsageError(f"--to {to}: publish writes to a folder of this machine or to hf://ORG/NAME.")
    return Destination(Path(to).expanduser())


@dataclass(frozen=True)
class Draft:
    """What will be published.

    Attributes:
        shards: the manifest of the shards.
        pairs: the default configuration, which publish writes itself; None with --images-once.
        request: all that decides the bytes.
        release: the place of the data set in a row of releases.
    """

    about: About
    shards: Record
    pairs: ImagePairs | None
    request: Record
    release: Release

    @property
    def files(self) -> Sequence[DataFile]:
        return self.about.contents.files

    @property
    def made_files(self) -> Sequence[DataFile]:
        """The files that publish makes; the others are those of the workspace."""
        return self.about.contents.configs[0].files if self.pairs else []

    def units(self, folder: Path) -> list[Unit]:
        """A unit of work for each data file."""
        units = self.pairs.units(self.made_files) if self.pairs else []
        linked = [file for file in self.files if file not in self.made_files]
        return units + [Unit(file.name, (folder / file.name,), partial(link_or_copy, file)) for file in linked]

    @property
    def notes(self) -> list[str]:
        """How much space the images of the pairs take."""
        if not self.pairs:
            return []
        repeated, images = sum(file.bytes for file in self.made_files), int(self.pairs.images.sizes.sum())
        return [
            f"publish: {self.about.contents.configs[0].name} repeats the images in every pair: about {format_bytes(repeated)} for "
            f"{format_bytes(images)} of images. --images-once leaves it out."
        ]

    def texts(self) -> dict[str, bytes]:
        """By name the texts that stand beside the data files."""
        described = json.dumps(croissant(self.about), indent=2, ensure_ascii=False) + "\n"
        texts = {"README.md": _encoded(card(self.about)), "croissant.json": _encoded(described)}
        texts[f"{DATA}/README.md"] = _encoded(shards_card(self.about))
        if self.release.history:
            texts[CHANGES] = json_bytes({"releases": self.release.history})
        texts[f"{DATA}/manifest.json"] = _shard_manifest(self.shards, texts[f"{DATA}/README.md"])
        return {**texts, "SHA256SUMS": _checksums(texts, self.files)}


def publish(options: PublishOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Write the data set repository to a folder and, for `hf://`, upload the folder. An interrupted run continues.

    Raises:
        UsageError: a licence is missing, or `--to` or an option is wrong.
        MinerError: a stage is missing, stages do not belong together, a file is damaged, or the target is not free.
    """
    target = destination(options.to, workspace)
    draft = _draft(options, workspace, target)
    if options.dry_run:
        return _rehearsal(draft, target)
    stage = Stage(target.folder, draft.request)
    manifest = None if force else stage.finished()
    fresh = manifest is None
    if manifest is None:
        manifest = _write(draft, stage, force)
    if target.repository is None:
        return _result(draft, manifest, target, fresh)
    return _uploaded(draft, manifest, target, options.private, force, fresh)


def _draft(options: PublishOptions, workspace: Workspace, target: Destination) -> Draft:
    provenance = Provenance.read(workspace)
    shards = provenance.shards
    contents, made = read_contents(workspace, shards, provenance.pairs), None
    if not options.images_once:
        made = read_image_pairs(workspace, shards, provenance.pairs, options.hard_negatives)
        contents = contents.with_default(made.config(target.folder))
    terms = licences(options, images=bool(contents.shard_sets))
    date = options.date or str(provenance.logged.get("export", {}).get("finished_at", ""))[:10] or None
    public = options.model_copy(
        update={"to": f"hf://{target.repository}" if target.repository else None, "dry_run": False}
    )
    identity = fingerprint(shards.record)
    release = read_release(target.folder, workspace.shards, target.name, options.release, identity)
    command = command_line("publish", public)
    about = describe(options, target.name, date, terms, contents, provenance, command, release.history)
    request = {
        "stage": "publish",
        "miner_version": __version__,
        "name": target.name,
        "embeddings": provenance.embeddings.identity,
        "pairs": fingerprint(provenance.pairs.record),
        "shards": identity,
        **options.request(),
        "date": date,
        **({"verdicts": fingerprint(made.verdicts)} if made and made.verdicts else {}),
        **({"review": fingerprint(provenance.review)} if provenance.review else {}),
        **({"history": release.history} if release.history else {}),
        "files": sorted([*_TEXTS, *([CHANGES] if release.history else []), *(file.name for file in contents.files)]),
    }
    return Draft(about, shards.record, made, json.loads(json.dumps(request)), release)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _shard_manifest(shards: Record, readme: bytes) -> bytes:
    """The manifest of the shards and their card, which `miner verify` reads, without the folder of a local weights file."""
    encoder = {**shards["encoder"], "name": public_encoder(shards["encoder"]["name"])}
    files = {**shards["files"], "README.md": {"bytes": len(readme), "sha256": hashlib.sha256(readme).hexdigest()}}
    return json_bytes(signed({**shards, "encoder": encoder, "files": files}))


def _checksums(texts: Mapping[str, bytes], files: Sequence[DataFile]) -> bytes:
    """The lines of SHA256SUMS, as `sha256sum -c` reads them."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in texts.items()}
    sums |= {file.name: file.sha256 for file in files}
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


def _write(draft: Draft, stage: Stage, force: bool) -> Record:
    with folder_lock(stage.folder):
        return _written(draft, stage, force)


def _written(draft: Draft, stage: Stage, force: bool) -> Record:
    made = [file.name for file in draft.made_files]
    prepare_folder(stage.folder, draft.request, force, draft.release.replaces, made)
    write_json(stage.folder / "request.json", draft.request)
    units = draft.units(stage.folder)
    for note in draft.notes:
        print(note, file=sys.stderr, flush=True)
    with Progress("publish", len(units), "files", finished_items(units)) as progress:
        run(units, progress=progress)
    contents = draft.about.contents.with_records({file.name: file_record(file.path) for file in draft.made_files})
    texts = replace(draft, about=replace(draft.about, contents=contents)).texts()
    for name, content in texts.items():
        write_bytes(stage.folder / name, content)
    configs = {config.name: {"rows": config.rows, "bytes": config.bytes} for config in contents.configs}
    digests = {name: file_record(stage.folder / name) for name in texts}
    digests |= {file.name: file.record for file in contents.files}
    record: Record = {"title": draft.about.title, "configs": configs}
    if draft.pairs and draft.pairs.negatives_each:
        record["negatives"] = draft.pairs.negatives_record()
    return stage.conclude(record, digests)


def _uploaded(draft: Draft, manifest: Record, target: Destination, private: bool, force: bool, fresh: bool) -> Result:
    assert target.repository is not None
    files = {**manifest["files"], "manifest.json": file_record(target.folder / "manifest.json")}
    done = upload(
        target.folder,
        files,
        target.repository,
        title=draft.about.title,
        patterns=[config.pattern for config in draft.about.contents.configs],
        private=private,
        force=force or bool(draft.release.history),  # the repository holds the release before
    )
    local = _result(draft, manifest, target, fresh)
    record = {**manifest, "repository": target.repository, "url": done.url, "commit": done.commit}
    state = "uploaded to" if done.fresh else "all of it was already at"
    line = f"publish: {state} {done.url} (commit {done.commit[:12]})"
    fresh, headline = fresh or done.fresh, [("published", done.url)]
    return replace(local, record=record, lines=[*local.lines, line], fresh=fresh, headline=headline)


def _result(draft: Draft, manifest: Record, target: Destination, fresh: bool) -> Result:
    path = target.folder / "manifest.json"
    made = PublishedManifest.of(manifest, path)
    sizes = ", ".join(f"{name} {counted(config.rows, 'row')}" for name, config in made.configs.items())
    total = format_bytes(sum(file["bytes"] for file in made.files.values()))
    lines = [f"publish: {made.title}: {sizes}; {total}, in {target.folder}"]
    if found := made.negatives:
        fewer = f"; {found.anchors_with_fewer:,} have fewer" if found.anchors_with_fewer else ""
        false = "" if found.same_label is None else f"; {found.same_label:.1%} of them are of the anchor's class"
        lines.append(
            f"publish: {counted(found.each, 'hard negative')} for each of {counted(found.anchors, 'anchor')}{fewer}{false}"
        )
    lines += _changed(draft)
    headline = [("published", str(target.folder))]
    return Result("publish", manifest, lines, fresh, headline, path=path, verdict=_verdict(draft))


def _verdict(draft: Draft) -> str:
    """What readers can check, and what the card leaves open."""
    about, labels = draft.about, draft.about.pairs.labels
    judged = (labels and labels.precision is not None) or len(
        about.review
    ) > 1  # a single sentence says that it is of other pairs
    known = {
        "how many pairs are right (no labels, no review)": judged,
        "the licence": all(licence.text != "unknown" for licence in about.licences.all),
        "who publishes it (--author)": about.authors,
    }
    missing = [name for name, said in known.items() if not said]
    return "every file has a checksum" + (f"; the card does not say {', '.join(missing)}" if missing else "")


def _rehearsal(draft: Draft, target: Destination) -> Result:
    made = {file.name for file in draft.made_files}
    sizes = {file.name: file.bytes for file in draft.files}
    sizes |= {name: len(text) for name, text in draft.texts().items()}
    where = f"https://huggingface.co/datasets/{target.repository}" if target.repository else str(target.folder)
    total = format_bytes(sum(sizes.values()))
    lines = [f"publish: would write {counted(len(sizes) + 1, 'file')}, {total}, to {where}:"]
    shown = {name: f"{'~' if name in made else ''}{format_bytes(count)}" for name, count in sizes.items()}
    lines += [f"  {size:>12}  {name}" for name, size in sorted(shown.items())]
    record = {"request": draft.request, "sizes": sizes, "to": target.repository or str(target.folder)}
    nothing = "publish: nothing was written (--dry-run)"
    return Result("publish", record, [*lines, *draft.notes, *_changed(draft), nothing], rehearsal=True)


def _changed(draft: Draft) -> list[str]:
    """What this release changed, if it has a predecessor."""
    latest = [entry for entry in draft.release.history if entry["release"] == draft.request["release"]]
    return [f"publish: release {in_words(entry)}" for entry in latest]
