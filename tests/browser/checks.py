"""What holds for every page that miner makes: light and dark, on a desk and on a phone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

VIEWS = [
    {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    for scheme, width in product(("light", "dark"), (1280, 390))
]

# Names as folders and files may have them. Each would be seen: by an element of its own, or by `window.harm`.
HOSTILE_NAMES = (
    "<img src=x onerror=window.harm=1>",
    "<b>\"quoted\" 'twice' `thrice`",
    "<script>window.harm=1<",  # with the slash of the next folder it is </script>
    "script><b>{{ harm }}",
    "👗 robe à fleurs",
    "فستان אדום",
    "w" * 90,
)

# Contrast of WCAG 2.2 (1.4.3): 4.5, or 3 for large text. Colours are mixed in sRGB, as browsers do.
_FAINT_TEXTS = """() => {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, alpha] = pixel.getImageData(0, 0, 1, 1).data;
    return [r, g, b, alpha / 255];
  };
  const over = ([r, g, b, alpha], ground) => [r, g, b].map((value, i) => value * alpha + ground[i] * (1 - alpha));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  const check = (element, text, style) => {
    const line = [];
    for (let each = element; each; each = each.parentElement) line.unshift(getComputedStyle(each));
    const ground = line.reduce((below, each) => over(rgba(each.backgroundColor), below), [255, 255, 255]);
    const [r, g, b, alpha] = rgba(element.closest("svg") ? style.fill : style.color);
    const shown = over([r, g, b, line.reduce((all, each) => all * Number(each.opacity), alpha)], ground);
    const [low, high] = [luminance(shown), luminance(ground)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${text.trim().slice(0, 60)}: ${ratio.toFixed(2)}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement, box = element.getBoundingClientRect();
    const seen = element.checkVisibility({ visibilityProperty: true }) && box.width > 1 && !element.closest(":disabled, option");
    if (node.data.trim() && seen) check(element, node.data, getComputedStyle(element));
  }
  for (const input of document.querySelectorAll("input[placeholder]"))
    if (input.checkVisibility()) check(input, input.placeholder, getComputedStyle(input, "::placeholder"));
  return [...new Set(faint)];
}"""

_WIDE = """() => document.documentElement.scrollWidth > window.innerWidth && [...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1 && !one.closest(".scroll"))
  .map((one) => `${one.tagName} ${one.textContent.trim().slice(0, 80)}`).slice(-5)"""


@contextmanager
def watched(browser: Any, own: str, **more: Any) -> Iterator[Any]:
    """An empty page. What it says, what goes wrong in it, and what it asks of others than `own` is an error in the end."""
    complaints: list[str] = []
    with browser.new_context(**more) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda asked: asked.url.startswith(("data:", own)) or complaints.append(asked.url))
        yield page
    assert not complaints, f"complaints: {complaints}"


def check(page: Any) -> None:
    """Texts stand out from their ground, nothing is wider than the screen, and no name became markup."""
    wide = page.evaluate(_WIDE)
    assert not wide, f"beyond the screen: {wide}"
    faint = page.evaluate(_FAINT_TEXTS)
    assert not faint, f"faint texts: {faint}"
    assert page.evaluate("window.harm") is None, "a name was executed"
    made = page.locator("b, [onerror], [src=x]").evaluate_all("all => all.map(one => one.outerHTML)")
    assert not made, f"elements of names: {made}"


def check_file(browser: Any, url: str, act: Callable[[Any], None] = lambda page: None) -> None:
    """Check a page in all `VIEWS`, with all its details open, and again after `act`."""
    for view in VIEWS:
        with watched(browser, url, **view) as page:
            page.goto(url)
            page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
            check(page)
            act(page)
            check(page)
