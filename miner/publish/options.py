"""Options of `miner publish`."""

from pydantic import Field

from miner.options import Options


class PublishOptions(Options):
    panel = "basics"

    to: str | None = Field(
        None,
        description="A folder, or hf://ORG/NAME for the Hugging Face Hub. Default: publish/ in the workspace.",
        json_schema_extra={"decides_result": False},
    )
    license: str | None = Field(
        None,
        description="Licence of the pairs: an identifier of the Hub such as cc-by-4.0, or a URL. Required, because "
        "miner guesses no licence.",
    )
    image_license: str | None = Field(
        None, description="Licence of the images, in the same form. Required if images are published."
    )
    title: str | None = Field(
        None,
        description="Name of the data set. Default: Semantic pairs of SOURCE.",
        json_schema_extra={"panel": "data set card"},
    )
    description: str | None = Field(
        None,
        description="A paragraph about the data set. Default: which pairs were mined from which images.",
        json_schema_extra={"panel": "data set card"},
    )
    author: str | None = Field(
        None,
        description="Who publishes it: names, separated by semicolons.",
        json_schema_extra={"panel": "data set card"},
    )
    homepage: str | None = Field(
        None,
        description="URL where readers find more, such as a paper or a project.",
        json_schema_extra={"panel": "data set card"},
    )
    release: str = Field(
        "1.0.0",
        pattern=r"^\d+\.\d+\.\d+$",
        description="Version of the data set, MAJOR.MINOR.PATCH.",
        json_schema_extra={"panel": "data set card"},
    )
    date: str | None = Field(
        None,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="Day of publication. Default: the day of the export.",
        json_schema_extra={"panel": "data set card"},
    )
    private: bool = Field(
        False,
        description="Make a new repository on the Hub private.",
        json_schema_extra={"decides_result": False},
    )
    dry_run: bool = Field(
        False,
        description="List the files that would be published, with sizes, and write nothing.",
        json_schema_extra={"decides_result": False},
    )
