"""SVG elements, scales and ticks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape


class ChartSize(NamedTuple):
    """Width and height of a drawing, in CSS pixels."""

    width: float
    height: float


WIDE = ChartSize(760, 280)
NARROW = ChartSize(350, 240)


@dataclass(frozen=True)
class Scale:
    """A function from data to pixels, linear or logarithmic.

    Attributes:
        low, high: ends of the data.
        start, end: positions of `low` and `high`, in pixels.
        log: whether the scale is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._position(self.low), self._position(self.high)
        share = (self._position(value) - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 2)

    def _position(self, value: float) -> float:
        return math.log10(value) if self.log else value


def linear_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers inside [low, high], roughly `about` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten inside [low, high], at most `most`."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [10.0**power for power in range(first, last + 1, step)]


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """One SVG element. In attribute names a trailing _ is dropped and every other _ becomes -.

    Attribute values are escaped here; `content` must be escaped already.
    """
    pairs = (f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    opening = f"<{name}{''.join(pairs)}"
    return f"{opening}>{content}</{name}>" if content else f"{opening}/>"


def text(x: float, y: float, content: str, /, **attributes: object) -> str:
    """A line of text; `content` is escaped here."""
    return tag("text", str(escape(content)), x=x, y=y, **attributes)


def rect(left: float, top: float, right: float, bottom: float, **attributes: object) -> str:
    """A rectangle between two corners."""
    size = {"width": round(max(right - left, 0), 2), "height": round(max(bottom - top, 0), 2)}
    return tag("rect", x=left, y=top, **size, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float] | None], **attributes: object) -> str:
    """A line through points, interrupted at each None."""
    commands, pen_down = [], False
    for point in points:
        if point is not None:
            commands.append(f"{'L' if pen_down else 'M'}{point[0]:g} {point[1]:g}")
        pen_down = point is not None
    return tag("path", d="".join(commands), **attributes)


def x_axis(scale: Scale, ticks: Sequence[float], y: float, title: str, name: Callable[[float], str]) -> list[str]:
    """A horizontal line with labelled ticks below it; the title stands below the labels at the right end."""
    labels = [text(scale(tick), y + 17, name(tick), class_="tick", text_anchor="middle") for tick in ticks]
    marks = [line(scale(tick), y, scale(tick), y + 4, "axis") for tick in ticks]
    return [
        line(scale.start, y, scale.end, y, "axis"),
        *marks,
        *labels,
        text(scale.end, y + 34, title, class_="title", text_anchor="end"),
    ]


def y_axis(scale: Scale, ticks: Sequence[float], right: float, title: str, name: Callable[[float], str]) -> list[str]:
    """Horizontal grid lines with labels at their left and the title above them."""
    left = 46.0
    lines = [line(left, scale(tick), right, scale(tick), "grid") for tick in ticks]
    labels = [text(left - 8, scale(tick) + 4, name(tick), class_="tick", text_anchor="end") for tick in ticks]
    return [*lines, *labels, text(0, scale.end - 14, title, class_="title")]


def drawing(size: ChartSize, elements: Sequence[str], class_: str) -> str:
    """An `svg` element that scales with the page."""
    box = f"0 0 {size.width:g} {size.height:g}"
    return tag("svg", "".join(elements), viewBox=box, class_=class_, aria_hidden="true", focusable="false")


def responsive(
    description: str, draw: Callable[[ChartSize], Sequence[str]], wide: ChartSize = WIDE, narrow: ChartSize = NARROW
) -> Markup:
    """A wide and a narrow drawing of a chart; the style sheet shows one of them. Screen readers read `description`."""
    both = drawing(wide, draw(wide), "wide") + drawing(narrow, draw(narrow), "narrow")
    return Markup(tag("div", both, class_="chart", role="img", aria_label=description))
