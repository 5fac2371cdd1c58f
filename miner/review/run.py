"""`miner review`: people judge pairs on a page that this machine serves; a file keeps every decision."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.decisions import QUESTION, Decision, read_decisions
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine import Record, Result, write_signed
from miner.errors import MinerError, UsageError
from miner.review.estimation.judgements import judgements, verdicts
from miner.review.estimation.limits import narrower_lines, narrower_rules
from miner.review.estimation.summary import summarise_judgements, summary_lines
from miner.review.options import ReviewOptions
from miner.server.serving import require_server, serve_page
from miner.text import counted

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from miner.review.pair_set import PairSet

DECISIONS = "decisions.jsonl"
SUMMARY = "review.json"


def review(options: ReviewOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Serve the page until Ctrl-C, then write the summary; with `summary`, only write it. Earlier decisions count.

    Raises:
        UsageError: `force` is given, because decisions are never replaced; the answers so far have another question; or the
            address does not belong to this machine.
        MinerError: pairs are missing, another review is open, the extra is not installed, or a file cannot be written.
    """
    if force:
        raise UsageError(
            f"review has no --force: decisions are only added. To start again, move {workspace.review / DECISIONS} away."
        )
    if not options.summary:
        require_server("review", " (--summary works without it)")

    from miner.review.pair_set import read_pair_set

    pairs = read_pair_set(workspace, options.slices)
    if not options.summary:
        pairs.source.require_images()
        _serve(options, workspace, pairs)
    path = workspace.review / DECISIONS
    decisions = read_decisions(path) if path.exists() else []
    question, (judged, outside) = question_of(decisions, options.question, path), judgements(pairs, decisions)
    record = summarise_judgements(pairs, judged, outside, question)
    if record["reviewers"]:
        record["narrower"] = narrower_rules(pairs, verdicts(judged))
        with workspace.writing():
            record = write_signed(workspace.review / SUMMARY, record)
    lines = summary_lines(record)
    if record["reviewers"]:
        lines += narrower_lines(record, workspace_flag(workspace))
        lines.append(f"review: summary in {workspace.review / SUMMARY}")
    return Result("review", record, lines, next_command=_next_command(record, workspace))


def question_of(decisions: Sequence[Decision], wanted: str | None, path: Path) -> str:
    """The question of the decisions in a file; the wanted or the usual one where there are none.

    Raises:
        UsageError: they have another question than the wanted one.
        MinerError: they have several.
    """
    asked = {decision.question or QUESTION for decision in decisions} or {wanted or QUESTION}
    if len(asked) > 1:
        raise MinerError(
            f"{path} holds answers to several questions: {', '.join(sorted(asked))}. Keep a file for each."
        )
    (question,) = asked
    if wanted not in (None, question):
        raise UsageError(
            f"--question: {path} holds answers to another question: {question} Leave --question out to go on with that one. "
            "For a new one, move the file away; its answers are not mixed with others."
        )
    return question


def _serve(options: ReviewOptions, workspace: Workspace, pairs: "PairSet") -> None:
    from miner.review.estimation.sampling import Sampler
    from miner.review.server.api import create_app
    from miner.review.server.journal import Journal
    from miner.review.server.session import Session
    from miner.server.images import ImageStore

    sampler = Sampler(pairs.numbers, options.slices, options.labels, options.overlap, options.seed)
    with Journal(workspace.review / DECISIONS) as journal:
        question = question_of(journal.decisions, options.question, journal.path)
        session = Session(pairs, sampler, journal, options.labels, options.show_labels, question)
        images = ImageStore(workspace, pairs.source, pairs.images)
        facts = f"{counted(len(pairs), 'pair')}, {session.goal} for each reviewer; {journal.path} keeps the decisions"
        facts += ". A second person opens the same page under another name, and gets some of the same pairs"

        def app(token: str | None) -> "Starlette":
            return create_app(session, images, options.host, token)

        serve_page("review", options, app, images, facts, "reviewers")


def _next_command(record: Record, workspace: Workspace) -> str:
    if not record["labelled"]:
        return ""
    again = " --force" if (workspace.shards / "manifest.json").exists() else ""
    decisions = shlex.quote(str(workspace.review / DECISIONS))
    command = f"miner export --exclude {decisions}{workspace_flag(workspace)}{again}"
    return f"{command}  (leaves out the pairs that reviewers call different or near-duplicate)"
