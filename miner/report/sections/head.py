"""The main result in one sentence, and the key counts."""

from dataclasses import dataclass

from miner.report.findings import Findings
from miner.report.text import band, count, counted, percent, rate, source_name


@dataclass(frozen=True)
class KeyNumber:
    """One key number: its name, its value, and a word about it."""

    name: str
    value: str
    note: str = ""


def headline(findings: Findings) -> str:
    """What was found, in one sentence."""
    pairs, embeddings = findings.pairs, findings.embeddings
    among = f"{counted(pairs['images'], 'image')} of {source_name(embeddings['source']['spec'])}"
    where = f"cosine under {embeddings['encoder']['name']} is {band(pairs['request']['band'])}"
    if not pairs["pairs"]:
        return f"Among {among}, there are no two whose {where}."
    found = f"{counted(pairs['pairs'], 'semantic pair')} among {among}: different images whose {where}"
    labels = pairs["labels"]
    if not labels or labels["precision"] is None:
        return f"{found}."
    agreeing = f"{percent(labels['precision'])} of them join two images of one class"
    return f"{found}; {agreeing} (random pairs: {percent(labels['chance'])})."


def key_numbers(findings: Findings) -> list[KeyNumber]:
    """The numbers at the head of the page."""
    pairs, embeddings = findings.pairs, findings.embeddings
    unreadable = sum(embeddings["errors"].values())
    mined = "" if pairs["images"] == embeddings["count"] else f"{count(pairs['images'])} of them searched for pairs"
    encoder = embeddings["encoder"]
    facts = [
        KeyNumber("Images", count(embeddings["count"]), mined),
        KeyNumber("Unreadable", count(unreadable), "listed below" if unreadable else "every image could be read"),
        KeyNumber("Pairs", count(pairs["pairs"]), f"{rate(pairs['pairs'] / pairs['images'])} per image"),
        KeyNumber(
            "Images in pairs",
            count(pairs["images_in_pairs"]),
            f"{percent(pairs['image_coverage'])} of all{' searched' if mined else ''}",
        ),
        KeyNumber(
            "Duplicates", count(pairs["duplicates"]), f"pairs above {pairs['request']['band']['max']:g}, left out"
        ),
    ]
    labels = pairs["labels"]
    if labels and labels["precision"] is not None:
        chance = f"random pairs {percent(labels['chance'])}"
        facts.append(KeyNumber("Label precision", percent(labels["precision"]), chance))
    facts.append(KeyNumber("Band", band(pairs["request"]["band"]), "cosine similarity"))
    facts.append(
        KeyNumber("Encoder", encoder["name"], f"labels it has seen: {encoder.get('labels_seen') or 'unknown'}")
    )
    return facts
