from PIL import Image

from miner.images.decode import decode_image
from miner.source import open_source


def sample_photos(count: int) -> list[Image.Image]:
    """The first images of `sample`."""
    source = open_source("sample")
    return [decode_image(source.read(entry)) for entry in source.entries[:count]]
