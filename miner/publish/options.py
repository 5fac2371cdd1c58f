"""Options of `miner publish`."""

from typing import Self

from pydantic import model_validator

from miner.options import Options, option


class PublishOptions(Options):
    """Make a data set repository of the shards, in a folder or on the Hugging Face Hub.

    The repository holds a table with both images of every pair, the shards, a card, a Croissant record and checksums. `datasets`
    and the Hub open it, and the Hub shows the pictures.

    \b
      miner publish --license cc-by-4.0 --image-license mit --dry-run
    """

    panel = "basics"

    to: str | None = option(None, decides_result=False)
    """A folder, or hf://ORG/NAME for the Hugging Face Hub. If not given: publish/ in the workspace."""
    license: str | None = option(None, metavar="LICENCE")
    """Licence of the pairs: an identifier of the Hub such as cc-by-4.0, or a URL. Required, because miner guesses no
    licence."""
    image_license: str | None = option(None, metavar="LICENCE")
    """Licence of the images, in the same form. Required if images are published."""
    images_once: bool = option(False)
    """Leave out the table with both images of every pair: the default table then names images by key. Use it after
    `miner export --references`, which leaves out the pair shards; then every image is stored once."""
    hard_negatives: int = option(0, ge=0)
    """For each anchor, add the column negatives: the N most similar images below the band that no chain of pairs joins to it. Of
    another rule: those that it does not choose. The column holds images, or keys if the images would take over 5 GB."""
    title: str | None = option(None, panel="data set card")
    """Name of the data set. If not given: Semantic pairs of SOURCE."""
    description: str | None = option(None, panel="data set card")
    """A paragraph about the data set. If not given: which pairs were mined from which images."""
    author: str | None = option(None, panel="data set card")
    """Who publishes the data set: names, separated by semicolons."""
    homepage: str | None = option(None, panel="data set card", metavar="URL")
    """URL where readers find more, such as a paper or a project."""
    release: str = option("1.0.0", pattern=r"^\d+\.\d+\.\d+$", panel="data set card", metavar="X.Y.Z")
    """Version of the data set, MAJOR.MINOR.PATCH."""
    date: str | None = option(None, pattern=r"^\d{4}-\d{2}-\d{2}$", panel="data set card", metavar="YYYY-MM-DD")
    """Day of publication. If not given: the day of the export."""
    private: bool = option(False, decides_result=False)
    """Make a new repository on the Hub private."""
    dry_run: bool = option(False, decides_result=False)
    """List the files that would be published, with sizes, and write nothing."""

    @model_validator(mode="after")
    def _negatives_need_the_table(self) -> Self:
        if self.hard_negatives and self.images_once:
            raise ValueError("--hard-negatives is a column of the table that --images-once leaves out; choose one.")
        return self
