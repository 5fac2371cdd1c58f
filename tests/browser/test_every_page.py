"""Every page in a browser, with names that hold markup: what `checks` asks for, light and dark, on a desk and on a phone."""

from pathlib import Path

import markdown
import pytest

import miner
from miner.artifacts.workspace import Workspace
from miner.leaks.options import LeaksOptions
from miner.leaks.run import find_leaks
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from miner.report.options import ReportOptions
from miner.report.run import report
from tests.browser.checks import HOSTILE_NAMES, check, check_file, watched
from tests.embed.small_encoder import small_encoder
from tests.publish.folders import LICENCES


@pytest.fixture
def photos(make_photos) -> Path:
    """Photographs whose classes and files have hostile names."""
    folder = make_photos(count=42, classes=0)
    for number, path in enumerate(sorted(folder.iterdir())):
        first, second = (HOSTILE_NAMES[place % len(HOSTILE_NAMES)] for place in (number, number // 7))
        target = folder / first / f"{second}{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    return folder


@pytest.fixture
def workspace(photos, make_workspace, add_run) -> Workspace:
    """Embeddings of these photographs, pairs of them with groups and hubs, failures and two runs."""
    errors = [{"key": f"e{n}", "path": f"{name}.jpg", "reason": name} for n, name in enumerate(HOSTILE_NAMES)]
    made: Workspace = make_workspace(str(photos), images=42, errors=errors, extras=True)
    add_run(made, name=HOSTILE_NAMES[1], knn=True)
    add_run(made, name="going-on", finished=False)
    return made


def page_of(workspace: Workspace) -> str:
    report(ReportOptions(gallery=20, random=8), workspace)
    return (workspace.report / "index.html").as_uri()


def open_and_turn(page) -> None:
    """A single image where there are any, and a pair, enlarged."""
    for single in page.locator(".single .enlarge").all()[:1]:
        single.click()
        page.click("#viewer .close")
    page.locator(".pair .enlarge").first.click()
    page.click("#next")


def test_report(workspace, browser) -> None:
    check_file(browser, page_of(workspace), open_and_turn)


def test_report_without_labels(make_workspace, photos, browser) -> None:
    check_file(browser, page_of(make_workspace(str(photos), images=42, labels=False)), open_and_turn)


def test_similar_images(workspace, browser, tmp_path) -> None:
    found = miner.similar(workspace.root, miner.open(workspace.root).embeddings.keys[0], 12)
    (tmp_path / "similar.html").write_text(found.html, "utf-8")
    check_file(browser, (tmp_path / "similar.html").as_uri())


def test_leaks(photos, make_photos, browser, tmp_path) -> None:
    other = make_photos("<b>other", count=42, classes=0)
    find_leaks(LeaksOptions.parse({"sources": [str(photos), str(other)], "up_to": "bytes"}), Workspace(tmp_path / "l"))
    check_file(browser, (tmp_path / "l/leaks/index.html").as_uri())


def test_published_card(photos, browser, tmp_path, monkeypatch) -> None:
    for module in ("worker", "encoders.embedded"):
        monkeypatch.setattr(f"miner.embed.{module}.load_encoder", lambda *_: small_encoder())
    made = miner.embed(photos, workspace=tmp_path / "w", quiet=True)
    miner.pairs(made, rule="mutual", neighbors=2, quiet=True)
    miner.export(made, quiet=True)
    names = {"title": HOSTILE_NAMES[0], "description": HOSTILE_NAMES[1], "author": HOSTILE_NAMES[6]}
    publish(PublishOptions(**LICENCES, **names), Workspace(made.path))
    card = (made.path / "publish/README.md").read_text("utf-8").split("---\n", 2)[2]
    shown = markdown.markdown(card, extensions=["tables", "fenced_code"])
    style = "body { overflow-wrap: anywhere } table, pre { display: block; overflow: auto }"
    (tmp_path / "card.html").write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{shown}", "utf-8")
    check_file(browser, (tmp_path / "card.html").as_uri())


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<p style='color: #888; background: #eee'>faint", "faint: 3.0"),
        ("<p style='opacity: .5'>faint", "faint: 3"),
        ("<svg><text y=20 fill='oklch(.8 .1 90)'>faint", "faint: 1"),
        ("<input placeholder=faint style='color: red; background: grey'>", "faint: "),
        ("<p style='width: 2000px'>wide", "beyond"),
        ("<script>window.harm = 1</script>", "executed"),
        ("<b>bold", "<b>bold</b>"),
    ],
)
def test_a_wrong_page_is_found(body: str, complaint: str, browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 600})
    page.set_content(f"<!doctype html><body style='background: #fff; color: #000'>{body}")
    with pytest.raises(AssertionError) as error:
        check(page)
    page.close()
    assert complaint in str(error.value)


def test_complaints_and_requests_are_found(browser) -> None:
    with pytest.raises(AssertionError, match=r"said.*http://127\.0\.0\.1:9/x"), watched(browser, "about:") as page:
        page.set_content("<script>console.log('said'); fetch('http://127.0.0.1:9/x').catch(() => 0)</script>")
