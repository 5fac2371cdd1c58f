"""The review page in a real browser, from the first click to exported shards."""

import http.server
import json
import shlex
import signal
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import webdataset

from miner.artifacts.decisions import read_decisions, rejected
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from tests.browser.waiting import until
from tests.processes import run_command
from tests.review.running import Server


@pytest.fixture
def review_as(workspace, start_review, open_page) -> Callable[..., tuple[Server, Any]]:
    """Starts a server with these flags, and a page on which a reviewer has given their name."""

    def start(name: str, *flags: str, **more: object) -> tuple[Server, Any]:
        server = start_review(workspace, *flags)
        page = open_page(server, **more)
        begin(page, name)
        return server, page

    return start


def begin(page, name: str) -> None:
    page.fill("#name", name)
    page.click("text=Start")
    ready(page)


def ready(page) -> None:
    until(page, "!document.querySelector('#same').disabled && !document.querySelector('#stage').hidden")


def judged(page) -> int:
    return int(page.inner_text("#count").split(" of ")[0])


def shown_pair(page) -> int:
    return int(page.get_attribute(".frame img", "src").split("/")[-2])


def answer(page, act: Callable[[], None]) -> int:
    """Do something that decides about the pair shown, and wait until another is there. Returns the pair."""
    ready(page)
    pair = shown_pair(page)
    act()
    another = f"!document.querySelector('.frame img').src.includes('/{pair}/')"
    until(page, f"document.querySelector('#stage').hidden || {another}")
    return pair


def written(workspace: Workspace) -> list[tuple[str, str]]:
    return [(decision.reviewer, decision.decision) for decision in read_decisions(workspace.review / "decisions.jsonl")]


def test_from_the_first_click_to_exported_shards(workspace, start_review, open_page) -> None:
    server = start_review(workspace, "--labels", "12", "--overlap", "0.5")
    ada, bob = open_page(server), open_page(server, color_scheme="dark")
    begin(ada, "Ada")
    begin(bob, "Bob")
    for number in range(12):
        answer(ada, lambda: ada.click("#different") if number % 3 == 0 else ada.click("#same"))  # noqa: B023
    for key in ["d", "ArrowLeft", "s", "ArrowRight", "u", "ArrowDown", "k", "ArrowUp", "n", "s"]:
        answer(bob, lambda: bob.keyboard.press(key))  # noqa: B023
    assert "Thank you, Ada" in ada.inner_text("#done") and ada.is_visible("#results")
    assert bob.is_hidden("#results")
    bob.keyboard.press("p")
    until(bob, "document.querySelectorAll('#people tr').length == 2")
    until(bob, "document.querySelector('#kappas').innerText.includes('Ada and Bob')")
    assert "95% interval" in bob.inner_text("#interval")
    expected = [("Ada", "different" if number % 3 == 0 else "same") for number in range(12)]
    expected += [("Bob", answer) for answer in 2 * ["different"] + 2 * ["same"] + 2 * ["unsure"] + 2 * ["skip"]]
    expected += [("Bob", "near-duplicate"), ("Bob", "same")]
    assert written(workspace) == expected

    code, output = server.stop()
    assert code == 0
    command = next(line for line in output.splitlines() if "miner export" in line)
    arguments = shlex.split(command.partition("next, ")[2].partition("  (")[0])
    assert arguments.pop(0) == "miner"
    assert run_command(*arguments).returncode == 0
    out = rejected(read_decisions(workspace.review / "decisions.jsonl"))
    shards = sorted(str(path) for path in workspace.shards.glob("pairs-*.tar"))
    records = [json.loads(sample["json"]) for sample in webdataset.WebDataset(shards, shardshuffle=False)]
    exported = {tuple(sorted((record["key_a"], record["key_b"]))) for record in records}
    assert len(out) >= 4 and not exported & out
    assert len(exported) == len(records) == PairsManifest.read(workspace).pairs - len(out)


def test_undo_reload_and_more_than_was_asked_for(workspace, review_as) -> None:
    _, page = review_as("Ada", "--labels", "3")
    first = answer(page, lambda: page.keyboard.press("s"))
    second = answer(page, lambda: page.keyboard.press("s"))
    answer(page, lambda: page.keyboard.press("z"))
    assert shown_pair(page) == second and judged(page) == 1
    answer(page, lambda: page.click("#undo"))
    assert shown_pair(page) == first and judged(page) == 0
    ready(page)
    assert page.is_disabled("#undo")
    for _ in range(2):
        answer(page, lambda: page.keyboard.press("d"))
    page.reload()
    ready(page)
    assert judged(page) == 2 and page.inner_text("#who") == "Ada"
    third = answer(page, lambda: page.keyboard.press("u"))
    assert page.is_visible("#done")
    page.click("#back")
    ready(page)
    assert shown_pair(page) == third
    answer(page, lambda: page.keyboard.press("s"))
    page.click("#more")
    answer(page, lambda: page.keyboard.press("s"))
    assert judged(page) == 4
    answers = ["same", "same", "undo", "undo", "different", "different", "unsure", "undo", "same", "same"]
    assert written(workspace) == [("Ada", decision) for decision in answers]


def test_the_images_of_the_pair_are_shown_large_and_sharp(review_as) -> None:
    _, page = review_as("Ada", viewport={"width": 1280, "height": 800})
    for image in page.query_selector_all(".frame img"):
        natural, width, sharp = image.evaluate(
            "image => [image.naturalWidth, image.getBoundingClientRect().width, getComputedStyle(image).imageRendering]"
        )
        assert (natural, sharp) == (28, "pixelated") and width > 300
    sources = [image.get_attribute("src") for image in page.query_selector_all(".frame img")]
    assert sources[0].endswith("/a") and sources[1] == sources[0][:-1] + "b"


@pytest.mark.parametrize("flags", [(), ("--show-labels",)])
def test_labels_are_only_seen_when_asked_for(workspace, review_as, flags) -> None:
    names = EmbeddingsManifest.read(workspace).source.classes
    _, page = review_as("Ada", *flags)
    told = page.inner_text("#stage")
    assert any(name in told for name in names) == bool(flags)
    assert ("similarity 0." in told) == bool(flags)
    assert flags or not any(name in page.content() for name in names)


def test_what_a_dead_server_has_not_saved_stays_on_the_page(workspace, start_review, review_as) -> None:
    server, page = review_as("Ada")
    answer(page, lambda: page.keyboard.press("s"))
    server.stop(signal.SIGKILL)
    pair = shown_pair(page)
    page.keyboard.press("d")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "not saved" in page.inner_text("#trouble") and shown_pair(page) == pair
    start_review(workspace, "--port", str(urlsplit(server.base).port))
    answer(page, lambda: page.click("text=Try again"))
    assert page.is_hidden("#trouble")
    assert written(workspace) == [("Ada", "same"), ("Ada", "different")]


def test_a_phone_needs_no_scrolling_to_answer(workspace, start_review, open_page) -> None:
    page = open_page(start_review(workspace), viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page.fill("#name", "Ada")
    page.tap("text=Start")
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for selector in ("#same", "#different", "#near-duplicate", "#unsure", "#skip", ".frame"):
        box = page.locator(selector).first.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360
        assert box["y"] + box["height"] <= 640, selector
        assert box["height"] >= 40
    answer(page, lambda: page.tap("#same"))
    assert judged(page) == 1


def test_a_hostile_name_stays_text(review_as, open_page) -> None:
    name, question = "<img src=x onerror=alert(1)>", "Same <img src=x onerror=alert(2)>?"
    server, page = review_as(name, "--question", question)
    assert page.inner_text(".question") == question
    answer(page, lambda: page.keyboard.press("s"))
    page.click("#reveal")
    until(page, "document.querySelectorAll('#people td').length > 1")
    assert page.inner_text("#who") == name and name in page.inner_text("#people")
    assert page.locator("img").count() == 2
    assert open_page(server).locator("#names option").get_attribute("value") == name


def test_the_link_with_its_token_opens_the_page_once_and_for_all(review_as, open_page) -> None:
    server, page = review_as("Ada", "--token", "correct-horse-battery")
    assert "token" not in page.url
    answer(page, lambda: page.keyboard.press("s"))
    page.goto(server.base)
    ready(page)
    stranger = open_page(server, server.base)
    assert "access token" in stranger.inner_text("body")


_ATTACK = """<!doctype html><body><form method=post enctype="text/plain" action="{url}/api/decisions">
<input name='{{"reviewer":"Eve","pair":0,"decision":"same","x":"' value='"}}'></form><script>
const body = JSON.stringify({{reviewer: "Eve", pair: 0, decision: "same"}});
const sent = [["text/plain", "no-cors"], ["application/json", "cors"]].map(([type, mode]) =>
  fetch("{url}/api/decisions", {{method: "POST", mode, headers: {{"content-type": type}}, body}}).catch(() => 0));
Promise.all(sent).then(() => document.forms[0].submit());
</script>"""


def test_another_site_in_the_same_browser_decides_nothing(workspace, start_review, browser) -> None:
    server = start_review(workspace)
    attack = _ATTACK.format(url=server.base).encode()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(attack)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil) as evil, browser.new_context() as context:
        threading.Thread(target=evil.serve_forever, daemon=True).start()
        page = context.new_page()
        asked, answers = [], []
        page.on("request", lambda sent: asked.append(sent) if "/api/decisions" in sent.url else None)
        page.on("response", lambda got: answers.append(got.status) if "/api/decisions" in got.url else None)
        page.goto(f"http://localhost:{evil.server_port}/")
        page.wait_for_url("**/api/decisions")
        assert "Only the page of `miner review` itself" in page.inner_text("body")
        evil.shutdown()
    assert len(asked) >= 3 and set(answers) == {403}
    assert written(workspace) == []
