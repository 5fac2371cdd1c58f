"""The page of `miner explore` in a real browser, from the first handle to the pairs that were chosen."""

import shlex

import numpy as np

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from tests.browser.checks import HOSTILE_NAMES, check
from tests.browser.waiting import until
from tests.processes import run_command


def shown(page) -> int:
    return int(page.inner_text("#pairs").replace(",", ""))


def thumb(page, selector: str, cosine: float) -> tuple[float, float]:
    """Where the middle of a handle is when it stands at a cosine."""
    box = page.locator(selector).bounding_box()
    low, high = (float(page.get_attribute(selector, end)) for end in ("min", "max"))
    return box["x"] + 12 + (cosine - low) / (high - low) * (box["width"] - 24), box["y"] + box["height"] / 2


def test_a_band_is_moved_looked_at_and_used(make_photos, tmp_path, start_review, open_page) -> None:
    photos = make_photos(count=24)
    for folder, name in zip(("class0", "class1"), HOSTILE_NAMES, strict=False):
        for path, other in zip(sorted((photos / folder).iterdir()), HOSTILE_NAMES, strict=False):
            path.rename(path.with_name(f"{other}.jpg"))
        (photos / folder).rename(photos / name)
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(photos), device="cpu"), workspace)
    rows = EmbeddingStore(workspace).vectors.astype(float)
    cosines = (rows @ rows.T)[np.triu_indices(24, 1)]
    server = start_review(workspace, command="explore")
    page, errors = open_page(server, viewport={"width": 1280, "height": 900}), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    until(page, "document.querySelectorAll('.pair').length > 0")
    assert "shared" in page.inner_text("#command")

    page.keyboard.press("1")
    until(page, "document.querySelector('#command').innerText.includes('--rule band')")
    page.mouse.move(*thumb(page, "#low", float(page.input_value("#low"))))
    page.mouse.down()
    page.mouse.move(*thumb(page, "#low", 0.5), steps=4)
    page.mouse.up()
    page.focus("#high")
    for key in ("End", "PageDown", "ArrowLeft"):
        page.keyboard.press(key)
    low, high = (float(page.input_value(handle)) for handle in ("#low", "#high"))
    assert abs(low - 0.5) < 0.01 and 0.85 < high < 0.999
    until(page, f"document.querySelector('#command').innerText.includes('--min {low:g} --max {high:g} ')")
    assert shown(page) == ((cosines >= low) & (cosines <= high)).sum() > 5
    assert HOSTILE_NAMES[1] in page.inner_text(".parts")
    check(page)
    page.keyboard.press("b")
    until(page, "document.querySelector('#where-note').innerText.includes('Right below')")
    until(page, f"Number(document.querySelector('.pair strong').innerText) <= {low} + 0.001")

    phone = open_page(
        server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    until(phone, "document.querySelectorAll('.pair').length > 0")
    phone.tap("text=knn 10")
    until(phone, "document.querySelector('#command').innerText.includes('--rule knn')")
    assert phone.inner_text("#short").startswith(f"{shown(phone)} pairs, ")
    check(phone)
    phone.tap(".gallery .frame")
    until(phone, "document.querySelectorAll('#similar[open] .tile').length === 24")
    until(phone, "document.querySelector('#similar').innerText.includes('onerror')")
    phone.tap("#similar .frame >> nth=3")
    check(phone)
    phone.tap("text=Close")
    assert phone.is_hidden("#similar")

    count = shown(page)
    page.keyboard.press("u")
    page.wait_for_selector("#saved:not([hidden])")
    command = page.inner_text("#saved code")
    code, output = server.stop()
    assert code == 0 and f"explore: next, {command}" in output and not workspace.pairs.exists()
    assert run_command(*shlex.split(command)[1:]).returncode == 0
    made = PairsManifest.read(workspace)
    assert (made.pairs, made.request.band.low, made.request.band.high) == (count, low, high) and errors == []
