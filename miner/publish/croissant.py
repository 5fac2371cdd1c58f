"""croissant.json: the data set for programs, in MLCommons' format (https://docs.mlcommons.org/croissant)."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from miner.publish.about import CITATIONS, About
from miner.publish.contents import Config, DataFile
from miner.workspace import Record

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
_FORMATS = {".parquet": "application/x-parquet", ".tar": "application/x-tar", ".md": "text/markdown"}
_IMAGE_FORMATS = {"jpg": "jpeg", "tif": "tiff", "ppm": "x-portable-pixmap", "pgm": "x-portable-graymap"}
_TYPES = {"int": "sc:Integer", "float": "sc:Float", "double": "sc:Float", "bool": "sc:Boolean"}


def croissant(about: About) -> Record:
    """The JSON-LD record: every data file with its size and sha256, the tables by column, and the images by key.

    Paths are relative, so that it holds for any copy of the folder.
    """
    files = [file for config in about.configs for file in config.files]
    sets = [image_set for config in about.configs for image_set in _image_sets(config)]
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
        "distribution": [*map(_file_object, files), *sets],
        "recordSet": [record_set for config in about.configs for record_set in _record_sets(config)],
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


def _image_sets(config: Config) -> list[Record]:
    """The images of all shards of a configuration as one file set per format; pair shards repeat them and have none."""
    if config.is_table or config.name != "images":
        return []
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"{config.name}-{extension}",
            "name": f"{config.name}-{extension}",
            "description": f"{extension} files inside the shards, named by key.",
            "containedIn": [{"@id": file.name} for file in config.files],
            "encodingFormat": f"image/{_IMAGE_FORMATS.get(extension, extension)}",
            "includes": f"*.{extension}",
        }
        for extension in _extensions(config)
    ]


def _extensions(config: Config) -> list[str]:
    return [feature["name"] for feature in config.features or [] if feature.get("dtype") == "image"]


def _record_sets(config: Config) -> list[Record]:
    if config.is_table:
        return [_record_set(config.name, config.about, [_column(config, column) for column in _columns(config)])]
    if config.name != "images":
        return []
    names = {
        extension: config.name if len(_extensions(config)) == 1 else f"{config.name}-of-{extension}"
        for extension in _extensions(config)
    }
    return [
        _record_set(
            name,
            config.about,
            [
                _field(
                    f"{name}/key",
                    "sc:Text",
                    {
                        "fileSet": {"@id": f"{config.name}-{extension}"},
                        "extract": {"fileProperty": "filename"},
                        "transform": {"regex": f"^(.+)\\.{extension}$"},
                    },
                ),
                _field(
                    f"{name}/image",
                    "sc:ImageObject",
                    {
                        "fileSet": {"@id": f"{config.name}-{extension}"},
                        "extract": {"fileProperty": "content"},
                    },
                ),
            ],
        )
        for extension, name in names.items()
    ]


def _record_set(name: str, description: str, fields: list[Record]) -> Record:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": fields}


def _columns(config: Config) -> list[Any]:
    return list(pq.read_schema(config.files[0].path))


def _column(config: Config, column: Any) -> Record:
    kind = next((name for prefix, name in _TYPES.items() if str(column.type).startswith(prefix)), "sc:Text")
    source = {"fileObject": {"@id": config.files[0].name}, "extract": {"column": column.name}}
    return _field(f"{config.name}/{column.name}", kind, source)


def _field(identity: str, kind: str, source: Record) -> Record:
    return {"@type": "cr:Field", "@id": identity, "name": identity, "dataType": kind, "source": source}
