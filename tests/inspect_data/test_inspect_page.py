"""The screen and the page of an inspection: what they say, and that the page needs nothing but itself."""

import random
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from answer_rows import row, words, write_rows

from kto_recipes.inspect_data.console import print_inspection
from kto_recipes.inspect_data.inspection import inspect_folder
from kto_recipes.inspect_data.page import write_page

ATTACK = 'hi <script>alert("1")</script> </script> & "bye" https://example.org/x.png'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data with a strategy that shouts, a repeated completion that is an attack on the page, and held-out rows."""
    chance = random.Random(0)
    rows = []
    for i in range(60):
        rows += [row(f"p{i}", words(chance, 6), True), row(f"p{i}", words(chance, 6).upper(), False, "loud")]
    rows += [row(f"attack {i}", ATTACK, True) for i in range(5)]
    write_rows(tmp_path / "chats" / "kto.train.jsonl", rows)
    write_rows(tmp_path / "chats" / "kto.eval.jsonl", [row("q", "fine", True)])
    return tmp_path / "chats"


class Page(HTMLParser):
    """A page's visible text, its elements, and how many scripts it has."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._raw = False
        self._text: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self._text.append(data)


@pytest.fixture
def page(folder: Path) -> Page:
    return Page(write_page(folder, inspect_folder(folder, None)).read_text())


def test_the_page_has_its_sections_in_order(page: Page) -> None:
    ids = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert ids == ["mend", "suggested", "counts", "shortcuts", "lengths", "repeats"]


def test_the_page_says_what_was_counted_and_which_strategy_is_at_fault(page: Page) -> None:
    assert "125 rows to train on, 1 held out; kto.train.jsonl." in page.text
    assert (
        "The answers of loud can be told from the desirable ones by punctuation, capitals and emoji alone" in page.text
    )
    assert "0.5 ± 0.14 65 : 60" in page.text  # 1.96·√(2·126 / (12·65·60)) = 0.144
    assert "KTO paper, arXiv 2402.01306" in page.text
    assert "The completion “hi <script>alert" in page.text


def test_text_of_people_is_shown_and_not_run(page: Page) -> None:
    assert ATTACK in page.text
    assert sum(tag == "script" for tag, _ in page.elements) == 3  # plots, plotly, page.js


def test_the_page_loads_nothing(page: Page) -> None:
    policy = [
        attributes for tag, attributes in page.elements if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy[0]["content"].startswith("default-src 'none'")
    linked = [attributes[name] for _, attributes in page.elements for name in ("src", "href") if name in attributes]
    assert all(target.startswith("#") for target in linked)


def test_the_same_data_make_the_same_page(folder: Path) -> None:
    first = write_page(folder, inspect_folder(folder, None)).read_bytes()
    assert write_page(folder, inspect_folder(folder, None)).read_bytes() == first


def test_data_with_one_class_have_a_page_too(tmp_path: Path) -> None:
    write_rows(tmp_path / "positives.train.jsonl", [row("p", "yes", True)])
    text = Page(write_page(tmp_path, inspect_folder(tmp_path, None)).read_text()).text
    assert "There are no undesirable answers in positives.train.jsonl" in text
    assert "Not looked at: there is one class only." in text
    assert "No completion stands in two rows." in text


def test_the_command_prints_one_screen_and_writes_the_page(
    folder: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_script("inspect_data.py", folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) < 50
    assert lines[0].split() == ["chats", "rows", "desirable", "undesirable", "balance"]
    assert lines[2].split() == ["train", "125", "65", "60", "1.08", ":", "1"]
    assert any(line.startswith("! the answers of loud can be told") for line in lines)
    assert lines[-1].endswith(str(folder / "inspect.html"))
    assert (folder / "inspect.html").is_file()


def test_a_narrow_terminal_cuts_no_number_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_inspection(inspect_folder(folder, None))
    shown = capsys.readouterr().out
    assert "65 : 60" in shown
    assert "1.08 : 1" in shown


def test_a_folder_without_rows_is_a_mistake_that_is_told(
    tmp_path: Path,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    refused: Callable[[subprocess.CompletedProcess[str]], str],
) -> None:
    assert "prepare it first" in refused(run_script("inspect_data.py", tmp_path))


def browsed(program: Callable[[str], str], tmp_path: Path, page: Path) -> str:
    """The page after its scripts ran, as Chromium holds it."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
    command = [program("chromium"), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.chromium
def test_a_browser_draws_both_plots(folder: Path, tmp_path: Path, program: Callable[[str], str]) -> None:
    dom = browsed(program, tmp_path, write_page(folder, inspect_folder(folder, None)))
    drawn = {
        part.split('"', 1)[0]: len(
            re.findall(r'<g class="trace scatter [^>]*>.*?<path class="js-line"[^>]* d="M', part)
        )
        for part in dom.split('<div class="plot js-plotly-plot" id="')[1:]
    }
    assert drawn == {"plot-answers": 2, "plot-rows": 2}


@pytest.mark.chromium
def test_on_a_phone_the_page_is_as_wide_as_the_screen(
    folder: Path, tmp_path: Path, program: Callable[[str], str]
) -> None:
    page = write_page(folder, inspect_folder(folder, None))
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    tell = f"<script>onload = () => parent.postMessage([innerWidth, {beyond}], '*')</script>"
    page.write_text(page.read_text().replace("</body>", f"{tell}</body>"))
    screen = tmp_path / "screen.html"  # a window of its own is never narrower than 500 pixels
    screen.write_text(
        "<script>onmessage = (event) => { document.title = event.data.join(' and ') }</script>"
        f'<iframe src="{page.resolve().as_uri()}" style="width: 390px; height: 844px; border: 0"></iframe>'
    )
    assert "<title>390 and 0</title>" in browsed(program, tmp_path, screen)
