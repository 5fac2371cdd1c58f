"""Licences by the names of the Hugging Face Hub. The user states them; miner guesses none."""

import difflib
import re
from dataclasses import dataclass

from miner.errors import UsageError
from miner.publish.options import PublishOptions

# fmt: off
# https://huggingface.co/docs/hub/repositories-licenses, without the licences of software and of single models.
HUB_LICENCES = frozenset({
    "apache-2.0", "mit", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1",
    "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail", "ofl-1.1", "osl-3.0",
    "postgresql", "ncsa", "unlicense", "zlib", "pddl", "unknown",
})
# fmt: on

_URL = re.compile(r"https?://[^\s<>\"'`\\\x00-\x1f]+")


@dataclass(frozen=True)
class Licence:
    """An identifier of the Hub, or the URL of another licence."""

    text: str

    @property
    def is_url(self) -> bool:
        return "://" in self.text

    def markdown(self) -> str:
        return f"<{self.text}>" if self.is_url else self.text


@dataclass(frozen=True)
class Licences:
    """The licence of the pairs, and that of the images if it was given."""

    pairs: Licence
    images: Licence | None

    @property
    def all(self) -> list[Licence]:
        """Each licence once, that of the pairs first."""
        return list(dict.fromkeys(licence for licence in (self.pairs, self.images) if licence))

    def front_matter(self) -> dict[str, object]:
        """The fields of a card: `license`, and name and link of a licence that the Hub does not know."""
        names = list(dict.fromkeys("other" if licence.is_url else licence.text for licence in self.all))
        fields: dict[str, object] = {"license": names[0] if len(names) == 1 else names}
        if links := [licence.text for licence in self.all if licence.is_url]:
            fields |= {"license_name": "see-license-link", "license_link": links[0]}
        return fields


def licences(options: PublishOptions, *, images: bool) -> Licences:
    """The licences that were given; `images` says whether images are published.

    Raises:
        UsageError: a licence is missing or unknown; the message names the option.
    """
    if options.license is None:
        raise UsageError(
            "A data set needs a licence, and miner does not guess one. Say under which licence you publish the pairs with "
            "--license, such as --license cc-by-4.0 or the URL of a licence"
            + (", and which one the images came with by --image-license." if images else ".")
        )
    pairs = _known("license", options.license)
    if images and options.image_license is None:
        raise UsageError(
            "The images are published too, and their licence is not yours to choose: give the one that they came with by "
            "--image-license, such as --image-license mit, or its URL (--image-license unknown says that you do not know). "
            "To publish the pairs without the images, run `miner export --references --force` first."
        )
    given = options.image_license
    return Licences(pairs, _known("image-license", given) if given else None)


def _known(flag: str, text: str) -> Licence:
    if text.startswith(("https://", "http://")):
        return Licence(plain_url(flag, text))
    name = text.strip().lower()
    if name not in HUB_LICENCES:
        near = difflib.get_close_matches(name, sorted(HUB_LICENCES), n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"--{flag} {text}: {hint}Give a licence that the Hub does not know by its URL.")
    return Licence(name)


def plain_url(flag: str, text: str) -> str:
    """A URL that can stand in the card between angle brackets.

    Raises:
        UsageError: it is no URL of the web, or holds what ends a link in Markdown or HTML.
    """
    if not _URL.fullmatch(text):
        raise UsageError(
            f"--{flag} {text!r}: write a URL that begins with https:// or http://, without spaces, quotes or < >."
        )
    return text
