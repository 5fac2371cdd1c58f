"""What miner itself exported or published is a source of its images: pairs are left out, and class names come back."""

from pathlib import Path

import fsspec
import pytest

from miner.errors import MinerError
from miner.source import open_source
from tests.source.tars import export_files, image_members, pair_members, png, tar_bytes, write_files

KEYS = ["a", "b", "c", "d"]
EXPORT = export_files(KEYS, [0, 1, None, 1], ["cat", "dog"])


def found(spec: str) -> tuple[list[str], list[int | None], list[str] | None]:
    source = open_source(spec)
    assert all(source.read(entry).startswith(b"\x89PNG") for entry in source.entries)
    return [entry.key for entry in source.entries], [entry.label for entry in source.entries], source.classes


@pytest.mark.parametrize("below", ["", "data/", "a/b/c/"])
@pytest.mark.parametrize("spec", ["{}", "{}/**/*.tar", "{}/{below}images-{{000000..000000}}.tar", "{}/{below}*"])
def test_an_export_at_any_depth_gives_its_images(tmp_path: Path, below: str, spec: str) -> None:
    files = {f"{below}{name}": data for name, data in EXPORT.items()}
    write_files(tmp_path / "out", {**files, "README.md": b"#", "SHA256SUMS": b""})
    assert found(spec.format(tmp_path / "out", below=below)) == (KEYS, [0, 1, None, 1], ["cat", "dog"])


def test_a_remote_export_gives_its_images() -> None:
    fsspec.filesystem("memory").pipe({f"/published/data/{name}": data for name, data in EXPORT.items()})
    assert found("memory://published") == (KEYS, [0, 1, None, 1], ["cat", "dog"])


def test_pairs_are_known_by_their_content_too(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {"x/one.tar": tar_bytes(image_members(KEYS, [0, 1, None, 1])), "y/other.tar": tar_bytes(pair_members(KEYS))},
    )
    assert found(str(tmp_path)) == (KEYS, [0, 1, None, 1], None)
    both = tar_bytes([*pair_members(KEYS), *image_members(KEYS, [0, 0, 0, 0])])
    write_files(tmp_path / "z", {"both.tar": both})
    assert found(str(tmp_path / "z"))[0] == KEYS


def test_images_that_are_called_pairs_are_images(tmp_path: Path) -> None:
    views = [(f"{key}.{side}.png", png(number)) for number, key in enumerate("xy") for side in "ab"]
    write_files(tmp_path, {"pairs-0.tar": tar_bytes([("k.png", png())]), "views.tar": tar_bytes(views)})
    assert found(str(tmp_path))[0] == ["k", "x", "y"]


def test_exports_of_other_classes_are_matched_by_name(tmp_path: Path) -> None:
    write_files(tmp_path / "one", EXPORT)
    write_files(tmp_path / "two", export_files(["e", "f"], [0, 1], ["dog", "emu"]))
    keys, labels, classes = found(str(tmp_path))
    assert dict(zip(keys, labels, strict=True)) == {"a": 0, "b": 1, "c": None, "d": 1, "e": 1, "f": 2}
    assert classes == ["cat", "dog", "emu"]


@pytest.mark.parametrize(
    "manifest", [b"{}", b"[1]", b'{"files": {}, "miner_version": "1"}', b"\xff", b"[" * 100_000], ids=range(5)
)
def test_another_manifest_is_none_of_an_export(tmp_path: Path, manifest: bytes) -> None:
    write_files(tmp_path, {**EXPORT, "manifest.json": manifest})
    assert found(str(tmp_path)) == (KEYS, [0, 1, None, 1], None)


def test_pairs_alone_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path, EXPORT)
    for spec in (tmp_path / "pairs-000000.tar", write_files(tmp_path / "p", {"x.tar": tar_bytes(pair_members(KEYS))})):
        with pytest.raises(MinerError, match="They hold pairs"):
            open_source(str(spec))


def test_a_logo_beside_an_export_is_no_source(tmp_path: Path) -> None:
    large = {**EXPORT, "images-000000.tar": EXPORT["images-000000.tar"] + bytes(1 << 20)}
    write_files(tmp_path, {**{f"data/{name}": data for name, data in large.items()}, "logo.png": png()})
    source = open_source(str(tmp_path))
    assert [entry.key for entry in source.entries] == KEYS
    assert source.left_out.files == {".png": 1}
