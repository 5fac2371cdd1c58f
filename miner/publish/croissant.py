"""croissant.json: the data set for programs, in MLCommons' format (https://docs.mlcommons.org/croissant)."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from miner.engine import Record
from miner.publish.about import CITATIONS, About
from miner.publish.contents import IMAGE, Config, DataFile

# fmt: off
_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)
# fmt: on
_CONTEXT: Record = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
_FORMATS = {".parquet": "application/x-parquet", ".tar": "application/x-tar", ".json": "application/json"}
_IMAGE_FORMATS = {"jpg": "jpeg", "tif": "tiff", "ppm": "x-portable-pixmap", "pgm": "x-portable-graymap"}
_TYPES = {
    str(IMAGE): "sc:ImageObject",
    "int": "sc:Integer",
    "float": "sc:Float",
    "double": "sc:Float",
    "bool": "sc:Boolean",
}


def croissant(about: About) -> Record:
    """The JSON-LD record: every data file with its size and sha256, the tables by column, and the images by key.

    Paths are relative, so the record holds for any copy of the folder.
    """
    images = about.contents.of_kind("images")
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS_TO,
        "name": about.title,
        "description": about.description,
        "version": about.release,
        **({"datePublished": about.date} if about.date else {}),
        **({"creator": [{"@type": "sc:Person", "name": name} for name in about.authors]} if about.authors else {}),
        **({"url": about.homepage} if about.homepage else {}),
        "license": [licence.text for licence in about.licences.all],
        "citeAs": "\n\n".join(CITATIONS),
        "keywords": ["semantic pairs", "self-supervised learning", "contrastive learning", "images"],
        "rai:dataCollection": ". ".join(f"{name}: {value}" for name, value in about.facts),
        "rai:dataLimitations": list(about.limits[1:]),
        "rai:dataBiases": [about.limits[0]],
        "distribution": [
            *map(_file_object, about.contents.files),
            *(_file_set(config) for config in about.contents.tables if len(config.files) > 1),
            *map(_image_set, images),
        ],
        "recordSet": [*(_table(config) for config in about.contents.tables), *map(_images, images)],
    }


def _file_object(file: DataFile) -> Record:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _FORMATS[Path(file.name).suffix],
        "sha256": file.sha256,
    }


def _file_set(config: Config) -> Record:
    """The files of a table as one set."""
    return {
        "@type": "cr:FileSet",
        "@id": f"{config.name}-files",
        "name": f"{config.name}-files",
        "encodingFormat": _FORMATS[".parquet"],
        "includes": config.pattern,
    }


def _files(config: Config) -> Record:
    """Where the rows of a table are."""
    if len(config.files) == 1:
        return {"fileObject": {"@id": config.files[0].name}}
    return {"fileSet": {"@id": f"{config.name}-files"}}


def _image_set(config: Config) -> Record:
    """The images in the shards of a configuration, by key. Pair shards have no such set: they repeat the images."""
    (extension,) = config.image_columns
    return {
        "@type": "cr:FileSet",
        "@id": f"{config.name}-files",
        "name": f"{config.name}-files",
        "description": f"{extension} files inside the shards, named by key.",
        "containedIn": [{"@id": file.name} for file in config.files],
        "encodingFormat": f"image/{_IMAGE_FORMATS.get(extension, extension)}",
        "includes": f"*.{extension}",
    }


def _images(config: Config) -> Record:
    (extension,) = config.image_columns
    source = {"fileSet": {"@id": f"{config.name}-files"}}
    key = {"extract": {"fileProperty": "filename"}, "transform": {"regex": f"^(.+)\\.{extension}$"}}
    fields = [
        _field(f"{config.name}/key", "sc:Text", source | key),
        _field(f"{config.name}/image", "sc:ImageObject", source | {"extract": {"fileProperty": "content"}}),
    ]
    return _record_set(config.name, config.about, fields)


def _table(config: Config) -> Record:
    return _record_set(config.name, config.about, [_column(config, column) for column in config.schema or []])


def _record_set(name: str, description: str, fields: list[Record]) -> Record:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": fields}


def _column(config: Config, column: Any) -> Record:
    many = pa.types.is_list(column.type)
    held = str(column.type.value_type if many else column.type)
    kind = next((name for prefix, name in _TYPES.items() if held.startswith(prefix)), "sc:Text")
    source: Record = {**_files(config), "extract": {"column": column.name}}
    if held == str(IMAGE):
        source["transform"] = {"jsonPath": "bytes"}
    field = _field(f"{config.name}/{column.name}", kind, source)
    return {**field, "repeated": True} if many else field


def _field(identity: str, kind: str, source: Record) -> Record:
    return {"@type": "cr:Field", "@id": identity, "name": identity, "dataType": kind, "source": source}
