"""The head of the page: the main result in one sentence, and the key numbers."""

from miner.report.findings import Findings
from miner.report.text import percent, rate, source_name
from miner.text import count, counted


def headline(findings: Findings) -> str:
    """The main result in one sentence."""
    pairs, embeddings = findings.pairs, findings.embeddings
    among = f"{counted(pairs.images, 'image')} of {source_name(embeddings.source.spec)}"
    encoder, asked = embeddings.encoder.name, pairs.request
    where = f"whose cosine under {encoder} is {asked.band}"
    if pairs.table:
        where = f"that stand in the table {pairs.table.name}"
    elif asked.rule != "band":
        where = f"that are neighbours under {encoder} ({asked.condition})"
    if not pairs.pairs:
        return f"Among {among}, there are no two {where}."
    found = f"{counted(pairs.pairs, 'semantic pair')} among {among}: different images {where}"
    labels = pairs.labels
    if not labels or labels.precision is None:
        return f"{found}."
    agreeing = f"{percent(labels.precision)} of them join two images of one class"
    return f"{found}; {agreeing} (random pairs: {percent(labels.chance)})."


def key_numbers(findings: Findings) -> list[tuple[str, str, str]]:
    """The key numbers of a workspace: names, values as text, and short notes."""
    pairs, embeddings = findings.pairs, findings.embeddings
    unreadable = sum(embeddings.errors.values())
    mined = "" if pairs.images == embeddings.count else f"{count(pairs.images)} of them searched for pairs"
    encoder = embeddings.encoder
    among = f"{percent(pairs.image_coverage)} of all{' searched' if mined else ''}"
    facts = [
        ("Images", count(embeddings.count), mined),
        ("Unreadable", count(unreadable), "listed below" if unreadable else "every image could be read"),
        ("Pairs", count(pairs.pairs), f"{rate(pairs.pairs / pairs.images)} per image"),
        ("Images in pairs", count(pairs.images_in_pairs), among),
        ("Duplicates", count(pairs.duplicates), f"pairs above {pairs.request.band.high:g}, left out"),
    ]
    labels = pairs.labels
    if labels and labels.precision is not None:
        facts.append(("Label precision", percent(labels.precision), f"random pairs {percent(labels.chance)}"))
    review = findings.review
    if review and review.precision["value"] is not None:
        low, high = (percent(review.precision[end]) for end in ("low", "high"))
        facts.append(("Reviewed precision", percent(review.precision["value"]), f"{low} to {high}, as people say"))
    if pairs.composition:
        effective = pairs.composition.effective_images
        facts.append(("Effective images", count(round(effective)), "equally used ones of the same entropy"))
    if pairs.request.rule == "band":
        facts.append(("Band", str(pairs.request.band), "cosine similarity"))
    else:
        facts.append(("Rule", pairs.request.rule, pairs.request.condition))
    if not pairs.exact:
        facts.append(("Search", f"approximate ({pairs.engine})", pairs.completeness))
    facts.append(("Encoder", encoder.name, f"labels seen in training: {encoder.labels_seen or 'unknown'}"))
    return facts
