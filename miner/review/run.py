"""`miner review`: people judge pairs on a page that this machine serves; a file keeps every decision."""

import importlib
import secrets
import shlex
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

from miner.artifacts.decisions import read_decisions
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine import Record, Result, write_signed
from miner.errors import MinerError, UsageError, install_extra
from miner.review.estimation.judgements import judgements
from miner.review.estimation.summary import summarise_judgements, summary_lines
from miner.review.options import ReviewOptions
from miner.text import counted

if TYPE_CHECKING:
    from miner.review.pair_set import PairSet
    from miner.review.server.images import ImageStore

DECISIONS = "decisions.jsonl"
SUMMARY = "review.json"
_TOKEN_BYTES = 18


def review(options: ReviewOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Serve the page until Ctrl-C, then write the summary; with `summary`, only write it. Earlier decisions count.

    Raises:
        UsageError: `force` is given, because decisions are never replaced; or the address does not belong to this machine.
        MinerError: pairs are missing, another review is open, the extra is not installed, or a file cannot be written.
    """
    if force:
        raise UsageError(
            f"review has no --force: decisions are only added. To start again, move {workspace.review / DECISIONS} away."
        )
    if not options.summary:
        _require_extra()

    from miner.review.pair_set import read_pair_set

    pairs = read_pair_set(workspace, options.slices)
    if not options.summary:
        pairs.source.require_images()
        _serve(options, workspace, pairs)
    path = workspace.review / DECISIONS
    judged, outside = judgements(pairs, read_decisions(path) if path.exists() else [])
    record = summarise_judgements(pairs, judged, outside)
    if record["reviewers"]:
        with workspace.writing():
            record = write_signed(workspace.review / SUMMARY, record)
    lines = summary_lines(record)
    if record["reviewers"]:
        lines.append(f"review: summary in {workspace.review / SUMMARY}")
    return Result("review", record, lines, next_command=_next_command(record, workspace))


def _serve(options: ReviewOptions, workspace: Workspace, pairs: "PairSet") -> None:
    from miner.review.estimation.sampling import Sampler
    from miner.review.server.api import create_app
    from miner.review.server.guard import is_loopback
    from miner.review.server.images import ImageStore
    from miner.review.server.journal import Journal
    from miner.review.server.listen import link, listen, serve
    from miner.review.server.session import Session

    token = options.token or (None if is_loopback(options.host) else secrets.token_urlsafe(_TOKEN_BYTES))
    sampler = Sampler(pairs.numbers, options.slices, options.labels, options.overlap, options.seed)
    with Journal(workspace.review / DECISIONS) as journal, listen(options.host, options.port) as listener:
        session = Session(pairs, sampler, journal, options.labels, options.show_labels)
        images = ImageStore(workspace, pairs.source, pairs.images)
        app = create_app(session, images, options.host, token)
        address = link(listener, options.host, token)

        def announce() -> None:
            if not is_loopback(options.host):
                _say(
                    "review: WARNING: other machines can reach this page, and the connection is not encrypted. "
                    "Give the link only to reviewers."
                )
            if options.port not in (0, listener.getsockname()[1]):
                _say(f"review: port {options.port} is taken, so the page has another port")
            _say(
                f"review: {counted(len(pairs), 'pair')}, {session.goal} for each reviewer; {journal.path} keeps the decisions"
            )
            _say(f"review: open {address} and press Ctrl-C here at the end (in a notebook: interrupt the kernel)")
            threading.Thread(target=_open_images, args=(images,), daemon=True).start()
            if options.open:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        serve(app, listener, announce)


def _open_images(images: "ImageStore") -> None:
    if problem := images.open():
        _say(f"review: {problem} Only images that the exported shards hold can be shown.")


def _next_command(record: Record, workspace: Workspace) -> str:
    if not record["labelled"]:
        return ""
    again = " --force" if (workspace.shards / "manifest.json").exists() else ""
    decisions = shlex.quote(str(workspace.review / DECISIONS))
    command = f"miner export --exclude {decisions}{workspace_flag(workspace)}{again}"
    return f"{command}  (leaves out the pairs that reviewers call different)"


def _require_extra() -> None:
    for package in ("starlette", "uvicorn"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MinerError(
                f"miner review needs {package}. Install it with: {install_extra('review')} (--summary works without it)."
            ) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
