"""`miner publish`: the shards and pairs of a workspace as a data set repository, on disk or on the Hugging Face Hub."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from miner import __version__
from miner.artifacts.stage import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Progress, Unit, finished_items, json_bytes, run, write_bytes, write_json
from miner.engine.records import Record, file_record, fingerprint, read_json, signed, write_signed
from miner.engine.result import Result
from miner.errors import MinerError
from miner.publish.destination import Destination, destination
from miner.publish.options import PublishOptions
from miner.publish.provenance import public_encoder

if TYPE_CHECKING:
    from miner.publish.about import About
    from miner.publish.contents import DataFile


@dataclass(frozen=True)
class Plan:
    """What will be published, before anything is written.

    Attributes:
        about: what is said about it.
        texts: name -> content of the files that are written for it.
        request: decides every byte.
    """

    about: "About"
    texts: Mapping[str, bytes]
    request: Record

    @property
    def files(self) -> "Sequence[DataFile]":
        return self.about.contents.files


def publish(options: PublishOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Put the repository together and, for `hf://`, upload it. An interrupted run continues.

    Raises:
        UsageError: a licence is missing, or `--to` or an option is wrong.
        MinerError: a stage is missing, stages do not belong together, a file is damaged, or the target is not free.
    """
    target = destination(options.to, workspace)
    plan = _plan(options, workspace, target)
    if options.dry_run:
        return _rehearsal(plan, target)
    stage = Stage(target.folder, plan.request)
    manifest = None if force else stage.finished()
    fresh = manifest is None
    if manifest is None:
        manifest = _write(plan, stage, force)
    if target.repository is None:
        return _result(plan, manifest, target, fresh)
    return _uploaded(plan, manifest, target, options.private, force, fresh)


def _plan(options: PublishOptions, workspace: Workspace, target: Destination) -> Plan:
    from miner.publish.about import about
    from miner.publish.card import card
    from miner.publish.contents import DATA, read_contents
    from miner.publish.croissant import croissant
    from miner.publish.licences import licences
    from miner.publish.provenance import command_line

    records = _records(workspace)
    embeddings, pairs, shards = (records[name] for name in ("embeddings", "pairs", "shards"))
    if "sets" not in shards:
        raise MinerError("The shards are of an older version of miner. Run `miner export --force` first.")
    contents = read_contents(workspace, shards, pairs)
    terms = licences(options, images=any(not config.is_table for config in contents.configs))
    date = options.date or str(records["stages"].get("export", {}).get("finished_at", ""))[:10] or None
    public = options.model_copy(
        update={"to": f"hf://{target.repository}" if target.repository else None, "dry_run": False}
    )
    told = about(options, target.name, date, terms, contents, records, command_line("publish", public))
    texts = {
        "README.md": card(told).encode(),
        "croissant.json": (json.dumps(croissant(told), indent=2, ensure_ascii=False) + "\n").encode(),
        f"{DATA}/manifest.json": _shard_manifest(shards),
    }
    texts["SHA256SUMS"] = _checksums(texts, contents.files)
    request = {
        "stage": "publish",
        "miner_version": __version__,
        "name": target.name,
        "embeddings": fingerprint(embeddings["files"]),
        "pairs": fingerprint(pairs),
        "shards": fingerprint(shards),
        **options.request(),
        "date": date,
        "files": sorted([*texts, *(file.name for file in contents.files)]),
    }
    return Plan(told, texts, json.loads(json.dumps(request)))


def _records(workspace: Workspace) -> dict[str, Record]:
    """The manifests of the stages, which must belong together, and the stages of run.json."""
    shards = workspace.manifest(workspace.shards)
    embeddings, pairs = workspace.manifest(workspace.embeddings), workspace.manifest(workspace.pairs)
    made_of = {
        "embeddings": fingerprint(embeddings["files"]),
        "pairs": fingerprint(pairs["files"]["pairs.parquet"]),
    }
    stale = [name for name, identity in made_of.items() if shards["request"].get(name) != identity]
    if stale:
        raise MinerError(f"The shards belong to other {' and '.join(stale)}. Run `miner export --force` first.")
    log = read_json(workspace.root / "run.json") or {}
    return {"embeddings": embeddings, "pairs": pairs, "shards": shards, "stages": log.get("stages", {})}


def _shard_manifest(shards: Record) -> bytes:
    """The manifest of the shards, which `miner verify` reads; a local file of weights is named without its folder."""
    encoder = {**shards["encoder"], "name": public_encoder(shards["encoder"]["name"])}
    return json_bytes(signed({**shards, "encoder": encoder}))


def _checksums(texts: Mapping[str, bytes], files: "Sequence[DataFile]") -> bytes:
    """As `sha256sum -c` reads them."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in texts.items()}
    sums |= {file.name: file.sha256 for file in files}
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


def _write(plan: Plan, stage: Stage, force: bool) -> Record:
    from miner.publish.link_files import make_room, place

    make_room(stage.folder, plan.request, force)
    write_json(stage.folder / "request.json", plan.request)
    units = [Unit(id=file.name, outputs=(stage.folder / file.name,), work=partial(place, file)) for file in plan.files]
    with Progress("publish", len(units), "files", finished_items(units)) as progress:
        run(units, progress=progress)
    for name, content in plan.texts.items():
        write_bytes(stage.folder / name, content)
    written = {name: file_record(stage.folder / name) for name in plan.texts}
    manifest = {
        "miner_version": __version__,
        "request": plan.request,
        "files": written | {file.name: file.record for file in plan.files},
        "title": plan.about.title,
        "configs": {
            config.name: {"rows": config.rows, "bytes": config.bytes} for config in plan.about.contents.configs
        },
    }
    manifest = write_signed(stage.folder / "manifest.json", manifest)
    (stage.folder / "request.json").unlink(missing_ok=True)
    return manifest


def _uploaded(plan: Plan, manifest: Record, target: Destination, private: bool, force: bool, fresh: bool) -> Result:
    from miner.publish.hub import upload

    assert target.repository is not None
    files = {**manifest["files"], "manifest.json": file_record(target.folder / "manifest.json")}
    done = upload(target.folder, files, target.repository, title=plan.about.title, private=private, force=force)
    local = _result(plan, manifest, target, fresh)
    record = {**manifest, "repository": target.repository, "url": done.url, "commit": done.commit}
    state = "uploaded to" if done.fresh else "all of it was already at"
    line = f"publish: {state} {done.url} (commit {done.commit[:12]})"
    return Result("publish", record, [*local.lines, line], fresh or done.fresh, [("published", done.url)])


def _result(plan: Plan, manifest: Record, target: Destination, fresh: bool) -> Result:
    sizes = ", ".join(f"{name} {config['rows']:,} rows" for name, config in manifest["configs"].items())
    line = f"publish: {plan.about.title}: {sizes}; {_total(plan)}, in {target.folder}"
    return Result("publish", manifest, [line], fresh, [("published", str(target.folder))])


def _rehearsal(plan: Plan, target: Destination) -> Result:
    from miner.publish.card import size

    sizes = {file.name: file.bytes for file in plan.files} | {name: len(text) for name, text in plan.texts.items()}
    where = f"https://huggingface.co/datasets/{target.repository}" if target.repository else str(target.folder)
    lines = [f"publish: would write {len(sizes) + 1} files, {_total(plan)}, to {where}:"]
    lines += [f"  {size(count):>12}  {name}" for name, count in sorted(sizes.items())]
    record = {"request": plan.request, "sizes": sizes, "to": target.repository or str(target.folder)}
    return Result("publish", record, [*lines, "publish: nothing was written (--dry-run)"], rehearsal=True)


def _total(plan: Plan) -> str:
    from miner.publish.card import size

    return size(sum(file.bytes for file in plan.files) + sum(map(len, plan.texts.values())))
