"""Every image that Pillow tests itself with, many of them damaged on purpose."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from miner.images.decode import FORMATS, UnreadableImageError, decode_image
from miner.source.named.builtin import cache_folder

# Decodes all images of an archive; a decoder that hangs is killed with a traceback, one that crashes is seen by its exit code.
GUARDED = """
import faulthandler, json, sys, tarfile
from miner.images.decode import UnreadableImageError, decode_image
faulthandler.enable()
for member in (archive := tarfile.open(sys.argv[1])):
    if "/Tests/images/" in member.name and member.isfile():
        faulthandler.dump_traceback_later(120, exit=True)
        try:
            image = decode_image(archive.extractfile(member).read())
            print(json.dumps([member.name, image.mode, image.size, None]))
        except UnreadableImageError as error:
            print(json.dumps([member.name, None, None, str(error)]))
"""


@pytest.fixture(scope="module")
def archive() -> Path:
    """The source archive of the installed Pillow, fetched once into the cache."""
    folder = cache_folder() / "test-corpus"
    target = folder / f"pillow-{PIL.__version__}.tar.gz"
    if not target.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps"]
        try:
            subprocess.run(
                [*command, "--dest", str(folder), f"pillow=={PIL.__version__}"],
                check=True,
                capture_output=True,
                timeout=300,
            )
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"the source of Pillow {PIL.__version__} cannot be fetched with pip: {error}")
    return target


@pytest.fixture(scope="module")
def outcomes(archive: Path) -> dict[str, tuple[str | None, list[int] | None, str | None]]:
    """Mode, size and reason of every image, by its name."""
    answer = subprocess.run(
        [sys.executable, "-c", GUARDED, str(archive)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    return {name: (mode, size, reason) for name, mode, size, reason in lines}


def test_every_file_ends_in_an_rgb_image_or_a_reason(archive: Path, outcomes) -> None:
    with tarfile.open(archive) as tar:
        files = {member.name for member in tar if "/Tests/images/" in member.name and member.isfile()}
    assert outcomes.keys() == files
    assert len(files) > 900
    for name, (mode, size, reason) in outcomes.items():
        assert (mode == "RGB" and min(size) > 0) if reason is None else 0 < len(reason) <= 160, name
    assert sum(reason is None for _, _, reason in outcomes.values()) > 600


def test_no_other_format_is_decoded(archive: Path, outcomes) -> None:
    decoded = {name.rpartition(".")[2] for name, (_, _, reason) in outcomes.items() if reason is None}
    assert not decoded & {"eps", "psd", "dds", "ico", "icns", "tga", "jp2", "fli", "wmf", "pdf"}


@pytest.mark.filterwarnings("ignore")
def test_plain_images_have_the_pixels_that_pillow_gives(archive: Path) -> None:
    compared = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            if "/Tests/images/" not in member.name or not member.isfile():
                continue
            data = tar.extractfile(member).read()
            try:
                ours = decode_image(data)
            except UnreadableImageError:
                continue
            try:
                plain = Image.open(io.BytesIO(data), formats=FORMATS)
                plain.load()
            except ValueError:  # a PNG with more text than Pillow reads
                continue
            if (
                plain.mode in ("1", "L", "RGB", "CMYK")
                and not plain.has_transparency_data
                and plain.getexif().get(0x0112, 1) == 1
            ):
                assert np.array_equal(np.asarray(ours), np.asarray(plain.convert("RGB"))), member.name
                compared += 1
    assert compared > 300
