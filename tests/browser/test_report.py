"""The report in a real browser: what a reader does with slider, filters and keys, on a desk and on a phone."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.table import read_pairs
from miner.artifacts.workspace import Workspace
from miner.report.options import ReportOptions
from miner.report.run import report
from tests.browser.checks import check, watched

OpenReport = Callable[..., Any]


@pytest.fixture
def workspace(make_workspace, add_run) -> Workspace:
    errors = [{"key": f"e{n}", "path": f"a/long/way/to/broken{n}.jpg", "reason": "empty file"} for n in range(30)]
    made = make_workspace(images=60, errors=errors, extras=True)
    add_run(made, knn=True)
    return made


@pytest.fixture
def open_report(browser) -> Iterator[OpenReport]:
    """Opens the report from the disk. It may not complain, nor ask anybody for anything."""
    with ExitStack() as pages:

        def visit(workspace: Workspace, options: ReportOptions | None = None, **more: Any) -> Any:
            report(options or ReportOptions(gallery=20, random=8), workspace)
            own = (workspace.report / "index.html").as_uri()
            page = pages.enter_context(watched(browser, own, **more))
            page.goto(own)
            return page

        yield visit


def similarities(page: Any, section: str = "gallery") -> list[float]:
    """Of the pairs that are seen in a section."""
    cards = page.locator(f'section[aria-labelledby="{section}"] .pair:visible')
    return [float(card.get_attribute("data-similarity")) for card in cards.all()]


def slide(page: Any, slider: str, value: float) -> None:
    page.locator(slider).fill(f"{value:.3f}")


def focused(page: Any) -> int:
    """Number of the card that has the focus, among those seen; -1 without one."""
    return page.evaluate(
        "[...document.querySelectorAll('.pair')].filter(card => !card.hidden)"
        ".indexOf(document.activeElement.closest('.pair'))"
    )


def test_the_slider_leaves_what_lies_between_its_thumbs(workspace, open_report) -> None:
    page = open_report(workspace)
    everything, at_random = similarities(page), similarities(page, "random")
    assert len(everything) == 20 and len(at_random) == 8
    slide(page, "#least", 0.4)
    slide(page, "#most", 0.7)
    inside = [value for value in everything if 0.4 <= value <= 0.7]
    assert similarities(page) == inside and 0 < len(inside) < 20
    assert similarities(page, "random") == [value for value in at_random if 0.4 <= value <= 0.7]
    assert page.inner_text("#between") == "0.400 to 0.700"
    assert f"{len(inside)} of these 20 pass the filters" in page.inner_text('section[aria-labelledby="gallery"]')
    slide(page, "#least", 0.9)  # a thumb cannot pass the other
    assert page.input_value("#least") == page.input_value("#most") == "0.7"
    page.click("text=Show all")
    page.wait_for_timeout(50)
    assert similarities(page) == everything and page.inner_text(".count >> nth=0") == ""


def test_the_thumbs_can_be_dragged(workspace, open_report) -> None:
    page = open_report(workspace, viewport={"width": 1100, "height": 900})
    page.locator("#track").scroll_into_view_if_needed()
    box = page.locator("#track").bounding_box()
    middle = box["y"] + box["height"] / 2
    for start, end in ((8, box["width"] * 0.4), (box["width"] - 8, box["width"] * 0.7)):
        page.mouse.move(box["x"] + start, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + end, middle, steps=5)
        page.mouse.up()
    low, high = (float(page.input_value(slider)) for slider in ("#least", "#most"))
    assert 0.45 < low < 0.52 and 0.65 < high < 0.72
    assert all(low <= value <= high for value in similarities(page))


def test_slices_of_similarity_cover_the_gallery(workspace, open_report) -> None:
    page = open_report(workspace)
    everything, seen = similarities(page), []
    slices = page.locator("#slices button")
    assert slices.count() == 5
    for number in range(5):
        slices.nth(number).click()
        assert slices.nth(number).get_attribute("aria-pressed") == "true"
        assert similarities(page)
        seen += similarities(page)
    assert sorted(set(seen)) == everything
    slices.nth(4).click()
    assert similarities(page) == everything


def test_filters_by_class_and_agreement(workspace, open_report) -> None:
    page = open_report(workspace)
    names = page.locator("#label option").all_inner_texts()
    assert names[0] == "any" and len(names) > 3
    page.select_option("#label", names[1])
    for text in page.locator('section[aria-labelledby="gallery"] .pair:visible .verdict').all_inner_texts():
        assert names[1] in text
    page.select_option("#label", "")
    counts = []
    for choice, mark in (("same", "✓"), ("different", "≠")):
        page.select_option("#agreement", choice)
        texts = page.locator('section[aria-labelledby="gallery"] .pair:visible .verdict').all_inner_texts()
        assert all(mark in text for text in texts)
        counts.append(len(texts))
    assert sum(counts) == 20 and min(counts) > 0
    page.select_option("#agreement", "same")
    slide(page, "#least", 0.89)
    slide(page, "#most", 0.89)
    assert page.locator('section[aria-labelledby="gallery"] .none').is_visible() == (similarities(page) == [])


def test_keys_move_enlarge_and_explain(workspace, open_report) -> None:
    page = open_report(workspace, viewport={"width": 1100, "height": 900})
    press = page.keyboard.press
    press("j")
    assert focused(page) == 0
    press("j")
    press("ArrowRight")
    assert focused(page) == 2
    press("k")
    press("ArrowLeft")
    assert focused(page) == 0
    press("ArrowDown")
    row = focused(page)
    assert 3 <= row <= 5
    press("ArrowUp")
    assert focused(page) == 0
    press("Enter")
    assert page.locator("#viewer").is_visible()
    first = page.inner_text("#viewer-caption")
    assert page.inner_text("#viewer-place").startswith("1 of ")
    width = page.locator("#viewer img").first.evaluate("image => image.getBoundingClientRect().width")
    assert width > 350
    press("ArrowRight")
    press("j")
    assert page.inner_text("#viewer-place").startswith("3 of ") and page.inner_text("#viewer-caption") != first
    press("Escape")
    assert page.locator("#viewer").is_hidden()
    # The browser tells that a dialog was closed in a task of its own; the focus follows.
    cards = page.locator(".pair:not([hidden])")
    cards.nth(2).locator("css=:scope:focus, :scope :focus").wait_for(timeout=5000)
    press("?")
    assert page.locator("#help").is_visible() and "previous pair" in page.inner_text("#help")
    press("j")
    press("Escape")
    assert page.locator("#help").is_hidden() and focused(page) == 2


def test_keys_pass_over_what_the_filters_hide(workspace, open_report) -> None:
    page = open_report(workspace)
    slide(page, "#least", 0.6)
    page.locator("h1").click()
    page.keyboard.press("j")
    first = page.evaluate("Number(document.activeElement.closest('.pair').dataset.similarity)")
    assert first == similarities(page)[0] >= 0.6
    page.locator("#least").focus()
    before = float(page.input_value("#least"))
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#least")) == pytest.approx(before + 0.001)


def test_a_click_enlarges_and_the_buttons_turn_pages(workspace, open_report) -> None:
    page = open_report(workspace)
    page.locator(".pair .enlarge").nth(4).click()
    assert page.inner_text("#viewer-place").startswith("5 of ")
    page.click("#next")
    page.click("#previous")
    page.click("#previous")
    assert page.inner_text("#viewer-place").startswith("4 of ")
    page.click("#viewer .close")
    assert page.locator("#viewer").is_hidden()
    page.click("text=Keys")
    assert page.locator("#help").is_visible()


def test_cards_are_put_in_order_and_keys_follow(workspace, open_report) -> None:
    page = open_report(workspace)
    listed = similarities(page)
    for chosen, order in (("falling", sorted(listed, reverse=True)), ("rising", sorted(listed)), ("", listed)):
        page.select_option("#order", chosen)
        assert similarities(page) == order
    assert similarities(page, "random") != sorted(similarities(page, "random"))
    page.select_option("#order", "falling")
    page.locator("h1").click()
    page.keyboard.press("j")
    assert focused(page) == 0
    page.click("text=Show all")
    page.wait_for_timeout(50)
    assert similarities(page) == listed


def test_an_image_tells_its_path_and_its_partners(workspace, open_report) -> None:
    page = open_report(workspace, permissions=["clipboard-read", "clipboard-write"])
    page.locator(".pair .enlarge").nth(3).click()
    path = page.locator("#viewer img").first.get_attribute("data-path")
    assert page.inner_text("#viewer-names li >> nth=0 >> span") == path
    page.locator("#viewer-names button").first.click()
    page.wait_for_function("() => document.querySelector('#viewer-names button').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == path
    table = read_pairs(workspace.pairs / "pairs.parquet", ("a", "b", "similarity")).to_pylist()
    paths = EmbeddingStore(workspace).metadata["path"].to_pylist()
    partners = {
        paths[pair[other]]: pair["similarity"]
        for pair in table
        for side, other in (("a", "b"), ("b", "a"))
        if paths[pair[side]] == path
    }
    best = sorted(partners, key=lambda name: -partners[name])[:8]
    page.locator("#viewer-names button").nth(1).click()
    shown = page.locator("#viewer-partners li")
    assert [item.inner_text().split() for item in shown.all()] == [[f"{partners[name]:.3f}", name] for name in best]
    assert shown.locator("img").count() == len(best)
    page.click("#next")
    assert page.locator("#viewer-partners").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_scrolling_sideways(workspace, open_report, scheme: str) -> None:
    page = open_report(
        workspace, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, color_scheme=scheme
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.locator(".pair .enlarge").first.tap()
    box = page.locator("#viewer").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["y"] + box["height"] <= 740
    page.tap("#next")
    assert page.inner_text("#viewer-place").startswith("2 of ")
    for summary in page.locator("summary").all():
        summary.evaluate("element => { element.parentElement.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_colours_follow_the_reader(workspace, open_report) -> None:
    papers = [
        open_report(workspace, color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, paper.strip("rgb()").split(","))) for paper in papers)
    assert light > 700 and dark < 100


def test_without_labels_and_without_pairs_the_page_works(make_workspace, open_report) -> None:
    page = open_report(make_workspace(labels=False))
    assert page.locator("#label").count() == 0 and page.locator("#track").is_visible()
    slide(page, "#least", 0.5)
    assert min(similarities(page)) >= 0.5
    empty = open_report(make_workspace(name="empty", band={"min": 0.9999, "max": 1.0}))
    empty.keyboard.press("j")
    assert empty.locator("#filters").count() == 0


def test_without_scripts_everything_is_there_to_read(workspace, open_report) -> None:
    page = open_report(workspace, java_script_enabled=False)
    assert page.locator(".pair:visible").count() > 28
    assert page.locator("#filters").is_hidden() and page.locator("#viewer").is_hidden()


def test_it_is_the_same_over_http(workspace, browser) -> None:
    """A page on a server asks for nothing else, not even for an icon."""
    report(ReportOptions(), workspace)
    asked: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Quiet, directory=str(Path(workspace.report)))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, browser.new_context() as context:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        page.keyboard.press("j")
        assert focused(page) == 0
        server.shutdown()
    assert asked == ["/index.html"]


def test_neighbourhoods_and_maps_fit_every_screen_and_scheme(graphs, open_report) -> None:
    colours = []
    for scheme, width in (("light", 1200), ("dark", 1200), ("light", 375)):
        page = open_report(graphs, color_scheme=scheme, viewport={"width": width, "height": 900})
        check(page)
        images = page.locator(".neighbours img")
        assert images.count() == 6 * 16
        assert all(image.evaluate("image => image.complete && image.naturalWidth === 28") for image in images.all())
        outlines = page.locator(".neighbours li").evaluate_all(
            "all => all.map(one => [one.classList.contains('differ'), getComputedStyle(one.querySelector('.images')).outlineStyle])"
        )
        assert {tuple(outline) for outline in outlines} == {(True, "solid"), (False, "none")}
        before, after = page.locator(".lists").first.locator(":scope > div").all()[:2]
        assert (before.bounding_box()["y"] == after.bounding_box()["y"]) == (width == 1200)
        colours.append(page.locator(".point.class-0").first.evaluate("dots => getComputedStyle(dots).stroke"))
        key = page.locator(".key.dot.class-0").first.evaluate("dot => getComputedStyle(dot).backgroundColor")
        assert key == colours[-1]
    assert colours[0] == colours[2] != colours[1]
