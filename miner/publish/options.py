"""Options of `miner publish`."""

from miner.options import Options, option


class PublishOptions(Options):
    """Make a data set repository of the shards, in a folder or on the Hugging Face Hub.

    The repository holds the shards, a card, a Croissant record and checksums. `datasets` and the Hub open it.

    \b
      miner publish --license cc-by-4.0 --image-license mit --dry-run
    """

    panel = "basics"

    to: str | None = option(
        None,
        "A folder, or hf://ORG/NAME for the Hugging Face Hub. Default: publish/ in the workspace.",
        decides_result=False,
    )
    license: str | None = option(
        None,
        "Licence of the pairs: an identifier of the Hub such as cc-by-4.0, or a URL. Required, because "
        "miner guesses no licence.",
        metavar="LICENCE",
    )
    image_license: str | None = option(
        None, "Licence of the images, in the same form. Required if images are published.", metavar="LICENCE"
    )
    title: str | None = option(None, "Name of the data set. Default: Semantic pairs of SOURCE.", panel="data set card")
    description: str | None = option(
        None,
        "A paragraph about the data set. Default: which pairs were mined from which images.",
        panel="data set card",
    )
    author: str | None = option(None, "Who publishes it: names, separated by semicolons.", panel="data set card")
    homepage: str | None = option(
        None, "URL where readers find more, such as a paper or a project.", panel="data set card", metavar="URL"
    )
    release: str = option(
        "1.0.0",
        "Version of the data set, MAJOR.MINOR.PATCH.",
        pattern=r"^\d+\.\d+\.\d+$",
        panel="data set card",
        metavar="X.Y.Z",
    )
    date: str | None = option(
        None,
        "Day of publication. Default: the day of the export.",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        panel="data set card",
        metavar="YYYY-MM-DD",
    )
    private: bool = option(False, "Make a new repository on the Hub private.", decides_result=False)
    dry_run: bool = option(
        False, "List the files that would be published, with sizes, and write nothing.", decides_result=False
    )
