"""A window of a resized image without computing the rest: the same pixels as resizing and then cropping."""

from dataclasses import dataclass
from math import ceil, floor, gcd

from PIL import Image

PixelSize = tuple[int, int]
Window = tuple[int, int, int, int]  # left, top, right, bottom

MAX_PIXELS = 1 << 26  # 256 MB as RGB; a resized photograph of a usual shape is far smaller
_SUPPORT = {
    Image.Resampling.BOX: 0.5,
    Image.Resampling.BILINEAR: 1.0,
    Image.Resampling.HAMMING: 1.0,
    Image.Resampling.BICUBIC: 2.0,
    Image.Resampling.LANCZOS: 3.0,
}


@dataclass(frozen=True)
class _Axis:
    """One direction of a resize from `length` to `resized` pixels of which [start, stop) are wanted."""

    length: int
    resized: int
    start: int
    stop: int

    @property
    def exact(self) -> bool:
        """Whether Pillow computes the window alone with the same weights as the whole.

        It does if the step between centres, length / resized, is a dyadic fraction. Then no arithmetic on the edges of the box
        rounds (float32 has 24 bits: 16 of a length, 8 of the fraction).
        """
        step = self.resized // gcd(self.length, self.resized)
        return step & (step - 1) == 0 and step <= 256 and self.length < 1 << 16

    def box(self) -> tuple[float, float]:
        """Start and end of the window in the source."""
        return self.start * self.length / self.resized, self.stop * self.length / self.resized

    def source(self, resampling: Image.Resampling) -> tuple[int, int]:
        """The source pixels that the window depends on, and at most two more on either side."""
        first, last = self.box()
        reach = _SUPPORT[resampling] * max(self.length / self.resized, 1.0) + 1
        return max(0, floor(first - reach)), min(self.length, ceil(last + reach))


def columns_first(size: PixelSize, resized: PixelSize) -> bool:
    """Whether Pillow certainly resizes columns before rows. If the height shrinks much more, it may resize rows first."""
    (width, height), (new_width, new_height) = size, resized
    grows = new_height >= height
    same_shape = abs(new_height * width - height * new_width) <= max(width, height)
    return grows or (same_shape and height < 1.9 * width)


def resize_window(
    image: Image.Image,
    size: PixelSize,
    resampling: Image.Resampling,
    window: Window,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """`image.resize(size, resampling).crop(window)`, bit for bit, for less work.

    Pillow resizes columns and then rows, and rounds to 8 bits in between. Here, the first pass gets only the rows that the second
    pass reads, and the second pass only the columns of the window. Where `_Axis.exact`, a pass computes only the window.

    There is one exception: if the whole would have more than `max_pixels`, the window is computed alone, and pixels may differ by
    one level.

    Args:
        image: RGB.
        size: width and height that the whole image is resized to.
        window: inside that size.
        max_pixels: the largest number of pixels of an image that may be computed as a whole.
    """
    left, top, right, bottom = window
    if size[0] * size[1] > max_pixels:
        across, down = image.width / size[0], image.height / size[1]
        box = (left * across, top * down, right * across, bottom * down)
        return image.resize((right - left, bottom - top), resampling, box=box)
    if resampling not in _SUPPORT or size == image.size or not columns_first(image.size, size):
        return image.resize(size, resampling).crop(window)
    columns, rows = _Axis(image.width, size[0], left, right), _Axis(image.height, size[1], top, bottom)
    first, last = rows.source(resampling)
    strip = image if last - first == image.height else image.crop((0, first, image.width, last))
    if columns.exact:
        x0, x1 = columns.box()
        strip = strip.resize((right - left, last - first), resampling, box=(x0, 0, x1, last - first))
    else:
        strip = strip.resize((size[0], last - first), resampling).crop((left, 0, right, last - first))
    if rows.exact:
        y0, y1 = rows.box()
        return strip.resize((right - left, bottom - top), resampling, box=(0, y0 - first, right - left, y1 - first))
    if last - first < image.height:
        whole = Image.new(strip.mode, (right - left, image.height))
        whole.paste(strip, (0, first))
        strip = whole
    return strip.resize((right - left, size[1]), resampling).crop((0, top, right - left, bottom))
