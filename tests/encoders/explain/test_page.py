"""The page against its JSON, and opened in a headless Chromium."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from encoders.explain.explanation import Explanation
from encoders.explain.page import explanation_page
from encoders.explain.pictures import pictures
from encoders.explain.report import write_explanation
from encoders.explain.words import written
from tests.envs.browser import Browser, chromium

NUMBER = re.compile(r'data-of="([^"]+)" data-unit="([^"]+)">([^<]+)<')
HOSTILE = "</script><script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'>{{style}}\""


@pytest.fixture(scope="module")
def folder(explanation: Explanation, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    assert write_explanation(explanation, folder) == folder / "explain.html"
    return folder


def found_at(stored: object, way: str) -> float:
    for key in html.unescape(way).split("."):
        stored = stored[int(key)] if isinstance(stored, list) else stored[key]  # type: ignore[index]
    return stored  # type: ignore[return-value]


def test_every_number_of_the_page_is_in_the_json(folder: Path) -> None:
    stored = json.loads((folder / "explain.json").read_text())
    page = (folder / "explain.html").read_text()
    numbers = NUMBER.findall(page)
    assert len(numbers) == 60
    assert [(way, text) for way, unit, text in numbers if written(found_at(stored, way), unit) != text] == []
    assert {way.split(".")[0] for way, _, _ in numbers} == {"hours", "importance", "gradients"}
    assert page.count("<td") == len([way for way, _, _ in numbers if way.endswith(".value")]) - 5  # five named hours


def test_the_page_says_which_rows_it_is_about(folder: Path, explanation: Explanation) -> None:
    page = (folder / "explain.html").read_text()
    assert "<b>validation</b>" in page
    assert "The test rows were not looked at." in page
    assert explanation.about.first.replace("T", " ") in page
    assert 'class="zero"' in page


def test_what_is_missing_or_other_is_said(recurrent: Explanation, chosen: Explanation) -> None:
    drawn = pictures(recurrent)
    page = explanation_page(recurrent.plain(), drawn)
    assert "keeps no weights of hours" in page
    assert "Which features it selects" not in page
    assert "empty state" not in page
    streamed = replace(recurrent, about=replace(recurrent.about, context="stream", blocks=7.0))
    page = explanation_page(streamed.plain(), drawn)
    assert "read from an empty state" in page
    assert "too narrow" in page
    assert "Which features it selects" in explanation_page(chosen.plain(), pictures(chosen))


def test_tensorboard_has_the_same_pictures_and_numbers(folder: Path, explanation: Explanation) -> None:
    events = EventAccumulator(str(folder / "tensorboard" / "explain")).Reload()
    assert set(events.Tags()["images"]) == {f"explain/{picture.name}" for picture in pictures(explanation)}
    [group] = explanation.importance.groups
    [logged] = events.Scalars("importance_direction/other")
    assert logged.value == pytest.approx(group.losses["direction"].value, rel=1e-6)


def test_the_same_explanation_gives_the_same_page(folder: Path, explanation: Explanation) -> None:
    again = explanation_page(explanation.plain(), pictures(explanation))
    assert again == (folder / "explain.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=[(1200, 900, False), (390, 800, True)], ids=["desktop", "phone"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    chromium()
    with Browser(*request.param) as opened:
        yield opened


def opened(browser: Browser, path: Path) -> None:
    browser.requests.clear()
    browser.errors.clear()
    browser._call("Page.navigate", url=path.as_uri())
    browser.wait_for(f"document.readyState === 'complete' && location.href === {path.as_uri()!r}")
    browser.settle()


def test_it_opens_from_disk_and_fetches_nothing(browser: Browser, folder: Path) -> None:
    opened(browser, folder / "explain.html")
    assert [url for url in browser.requests if not url.startswith("data:")] == [(folder / "explain.html").as_uri()]
    assert browser.errors == []
    images = browser.ask("[...document.images].map(i => [i.complete && i.naturalWidth > 0, i.alt.length, i.title])")
    assert len(images) == 6
    assert all(shown and alt > 20 and title for shown, alt, title in images)
    assert browser.ask("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.ask("Math.min(...[...document.querySelectorAll('tbody th')].map(e => e.offsetWidth))") > 40


@pytest.fixture(scope="module")
def hostile_page(explanation: Explanation, tmp_path_factory) -> Path:
    first = replace(explanation.importance.columns[0], name=HOSTILE)
    hostile = replace(explanation, about=replace(explanation.about, assets=(HOSTILE,), encoder=HOSTILE),
                      importance=replace(explanation.importance, columns=(first,)))
    path = tmp_path_factory.mktemp("hostile") / "explain.html"
    path.write_text(explanation_page(hostile.plain(), pictures(explanation)), encoding="utf-8")
    return path


def test_nothing_in_a_name_is_run(browser: Browser, hostile_page: Path) -> None:
    opened(browser, hostile_page)
    assert browser.ask("window.stolen") is None
    assert browser.ask("document.querySelector('h1').textContent") == f"What the {HOSTILE} looks at"
    assert browser.errors == []
