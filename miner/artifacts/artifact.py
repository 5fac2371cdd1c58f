"""What all records of finished stages have in common: they are JSON files, read as typed and frozen objects."""

from operator import attrgetter
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from miner.artifacts.workspace import Workspace
from miner.engine import AnyPath, Record, fingerprint, read_json, same_file
from miner.errors import MinerError


class RecordPart(BaseModel):
    """A part of a record. Keys without a field here, such as those of other versions, are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Artifact(RecordPart):
    """The record of a finished stage.

    Attributes:
        record: the JSON as it is on disk, with every key.
        files: size and checksum of each file, by its name below the folder of the record.
    """

    command: ClassVar[str]

    record: Record
    files: dict[str, Record]
    miner_version: str = "unknown"

    @classmethod
    def of(cls, record: Record, path: AnyPath) -> Self:
        """A record that was read from `path`, or written there.

        Raises:
            MinerError: a key is missing, or its value has another type.
        """
        try:
            return cls.model_validate({**record, "record": record})
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(map(str, problem["loc"]))
            raise MinerError(
                f"{path} is damaged ({key}: {problem['msg']}). Delete this file and run `{cls.command} --force` again."
            ) from None

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """The record in a file, or None when there is no such file.

        Raises:
            MinerError: the file is damaged.
        """
        record = read_json(path)
        return None if record is None else cls.of(record, path)

    @property
    def asked(self) -> Record:
        """The whole request, as JSON."""
        return self.record["request"]  # type: ignore[no-any-return]

    @property
    def identity(self) -> str:
        """Changes when a file changes. Stages that read the files keep it in their request."""
        return fingerprint(self.files)

    def checked(self, folder: Path, name: str) -> Path:
        """The path of a file that the stage wrote to `folder`.

        Raises:
            MinerError: the file is missing, or not the one that the stage wrote.
        """
        if not same_file(folder / name, self.files.get(name)):
            raise MinerError(f"{folder / name} is missing or damaged. Run `{self.command} --force` again.")
        return folder / name


class StageArtifact(Artifact):
    """The record of a stage that a workspace has once."""

    folder: ClassVar[str]  # the attribute of `Workspace`
    growth_hint: ClassVar[str] = ""  # a sentence about embeddings that have grown since

    @classmethod
    def path(cls, workspace: Workspace) -> Path:
        """Where the record is."""
        folder: Path = attrgetter(cls.folder)(workspace)
        return folder / "manifest.json"

    @classmethod
    def find(cls, workspace: Workspace, of: Artifact | None = None) -> Self | None:
        """The record; None when the stage has not finished, or has worked on other embeddings than `of`.

        Raises:
            MinerError: the record is damaged.
        """
        found = cls.at(cls.path(workspace))
        return found if found is None or of is None or found.belongs_to(of) else None

    @classmethod
    def read(cls, workspace: Workspace, of: Artifact | None = None) -> Self:
        """The record of a finished stage.

        Raises:
            MinerError: the stage has not been run, has not finished, has worked on other embeddings than `of`, or its record
                is damaged.
        """
        path = cls.path(workspace)
        found, what = cls.at(path), path.parent if path.name == "manifest.json" else path
        if found is None:
            state = "has not finished" if path.with_name("request.json").exists() else "is missing"
            raise MinerError(f"{what} {state}. Run `{cls.command}` first (workspace {workspace.root}).")
        if of is not None and not found.belongs_to(of):
            raise MinerError(f"{what} belongs to other embeddings. Run `{cls.command} --force` first.{cls.growth_hint}")
        return found

    def belongs_to(self, embeddings: Artifact) -> bool:
        """Whether these are the embeddings that the stage worked on."""
        return bool(self.asked.get("embeddings") == embeddings.identity)
