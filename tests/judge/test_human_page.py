"""The page of the human judge as a browser shows it."""

import re
import signal
from pathlib import Path

import pytest
from browser import CONTRASTS, Page
from judge_runs import sample, write_run
from judging import judging

N = 6


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [sample(n, f"kto says {n}", f"sft says {n}, at length") for n in range(N)])


def count(page: Page) -> str:
    return page.run("document.getElementById('count').textContent")


def shown(page: Page) -> tuple[str, str]:
    return tuple(page.run("['first', 'second'].map((id) => document.getElementById(id).innerText)"))


def press_for(page: Page, beginning: str) -> None:
    """The key of the reply that begins so, and wait for what comes then."""
    before = count(page)
    page.press("1" if shown(page)[0].startswith(beginning) else "2")
    page.wait_for(f"document.getElementById('count').textContent !== {before!r}")


def opened(page: Page, url: str) -> None:
    page.open(url)
    page.wait_for("document.getElementById('count').textContent")


@pytest.mark.chromium
def test_a_person_judges_with_keys_from_the_first_pair_to_the_result(run: Path, page: Page) -> None:
    with judging(run) as it:
        opened(page, it.url)
        for number in range(N):
            assert count(page) == f"{number} of {N}"
            assert {text[:3] for text in shown(page)} == {"kto", "sft"}
            press_for(page, "kto" if number < 4 else "sft")
            assert len(it.choices()) == number + 1
        page.wait_for("!document.getElementById('result').hidden")
        rows = page.run("[...document.querySelectorAll('#result tbody tr')].map((row) => row.innerText.split('\\t'))")
        assert ["wins", "4"] in rows
        assert ["losses", "2"] in rows
        assert page.run("document.getElementById('pair').hidden")
        page.run("document.getElementById('finish').click()")
        code, out, err = it.ended()
    assert (code, err) == (0, "")
    assert page.complaints() == []
    found = it.result()["compared"]["kto-sft"]
    assert (found["wins"], found["ties"], found["losses"], found["asked"], found["answered"]) == (4, 0, 2, N, N)
    assert found["position_bias"]["n"] == N
    assert re.search(r"wins +4\n", out)
    assert str(it.folder / "human.json") in out
    assert {url.removeprefix(it.url) for url in page.requested()} <= {
        "", "style.css", "page.js", "state", "choice", "finish"
    }  # fmt: skip


@pytest.mark.chromium
def test_zero_is_a_tie_and_u_takes_the_last_choice_back(run: Path, page: Page) -> None:
    with judging(run) as it:
        opened(page, it.url)
        before = shown(page)
        page.press("u")  # nothing there yet
        page.press("7")
        page.press("0")
        page.wait_for(f"document.getElementById('count').textContent === '1 of {N}'")
        assert it.choices()[-1]["winner"] == "tie"
        assert shown(page) != before
        page.press("u")
        page.wait_for(f"document.getElementById('count').textContent === '0 of {N}'")
        assert shown(page) == before
        assert [choice.get("undone") for choice in it.choices()] == [None, True]


@pytest.mark.chromium
def test_the_buttons_do_what_the_keys_do(run: Path, page: Page) -> None:
    with judging(run) as it:
        opened(page, it.url)
        for number, name in enumerate(("first", "tie", "second"), 1):
            first = shown(page)[0][:3]
            page.run(f"document.querySelector('[data-choice={name}]').click()")
            page.wait_for(f"document.getElementById('count').textContent === '{number} of {N}'")
            shown_first = {"kto": "kto", "sft": "other"}[first]
            other = {"kto": "other", "other": "kto"}[shown_first]
            expected = {"first": shown_first, "second": other, "tie": "tie"}[name]
            assert it.choices()[-1] | {"key": ""} == {"key": "", "shown_first": shown_first, "winner": expected}
        page.run("document.getElementById('undo').click()")
        page.wait_for(f"document.getElementById('count').textContent === '2 of {N}'")


@pytest.mark.chromium
def test_ctrl_c_keeps_what_was_judged_and_the_same_command_goes_on(run: Path, page: Page) -> None:
    with judging(run) as it:
        opened(page, it.url)
        press_for(page, "kto")
        press_for(page, "kto")
        it.process.send_signal(signal.SIGINT)
        code, out, err = it.ended()
    assert (code, err) == (130, "stopped; the same command goes on from here\n")
    assert re.search(r"not answered yet +4\n", out)
    assert it.result()["compared"]["kto-sft"]["wins"] == 2
    assert it.result()["missing"]["kto-sft, answers"].startswith("4 of 6 answers are missing")
    page.press("1")
    page.wait_for("!document.getElementById('problem').hidden")
    assert "start it again" in page.run("document.getElementById('problem').textContent")
    with judging(run) as it:
        opened(page, it.url)
        assert count(page) == f"2 of {N}"


@pytest.mark.chromium
def test_a_kill_loses_no_choice_that_the_page_has_counted(run: Path, page: Page) -> None:
    with judging(run) as it:
        opened(page, it.url)
        for _ in range(3):
            press_for(page, "kto")
        it.process.kill()
        it.process.wait()
    with judging(run) as it:
        opened(page, it.url)
        assert count(page) == f"3 of {N}"


@pytest.mark.chromium
def test_what_the_models_say_is_shown_as_text_and_does_nothing(tmp_path: Path, page: Page) -> None:
    evil = "<img src=x onerror=\"document.title='done'\"><script>document.title='done'</script>&amp;\n</div> 🐙"
    prompt = [{"role": "system", "content": evil}, {"role": "user", "content": evil}]
    run = write_run(tmp_path / "run", [sample(1, evil, "plain", prompt=prompt)])
    with judging(run) as it:
        opened(page, it.url)
        assert sorted(shown(page)) == sorted([evil, "plain"])
        assert page.run("[...document.querySelectorAll('.message .text')].map((it) => it.innerText)") == [evil, evil]
        assert page.run("document.querySelectorAll('#pair img, #pair script').length") == 0
        assert page.run("document.title") == "Which reply is better?"
        assert page.complaints() == []


@pytest.mark.chromium
def test_long_conversations_are_folded_and_empty_replies_are_named(tmp_path: Path, page: Page) -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(11)]
    run = write_run(tmp_path / "run", [sample(1, "", "something", prompt=turns)])
    with judging(run) as it:
        opened(page, it.url)
        assert sorted(shown(page)) == ["(an empty reply)", "something"]
        visible = page.run("[...document.querySelectorAll('#recent .text')].map((it) => it.innerText)")
        assert visible == [f"turn {n}" for n in range(6, 11)]
        assert page.run("document.querySelector('#earlier summary').innerText") == "6 earlier messages"
        assert page.run("document.querySelectorAll('#earlier .message').length") == 6


@pytest.mark.chromium
def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_buttons_are_on_it(tmp_path: Path, page: Page) -> None:
    words = "a rather long reply that goes on and on " * 30
    run = write_run(tmp_path / "run", [sample(1, words, f"{'unbroken' * 40} {words}")])
    with judging(run) as it:
        page.screen(390, 844, dark=True)
        opened(page, it.url)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.run(f"[innerWidth, {wide}]") == [390, 0]
        buttons = "[...document.querySelectorAll('.choices button:not([hidden])')]"
        boxes = page.run(f"{buttons}.map((it) => it.getBoundingClientRect().toJSON())")
        assert len(boxes) == 4
        assert all(box["top"] >= 0 and box["bottom"] <= 844 and box["height"] >= 44 for box in boxes)


@pytest.mark.chromium
def test_a_screen_reader_is_told_what_is_what_and_where_it_is(run: Path, page: Page) -> None:
    with judging(run) as it:
        opened(page, it.url)
        nodes = [
            (node["role"]["value"], node["name"]["value"])
            for node in page.send("Accessibility.getFullAXTree")["nodes"]
            if not node["ignored"] and node.get("name", {}).get("value")
        ]
        for known in (
            ("region", "The conversation"),
            ("region", "Reply 1"),
            ("region", "Reply 2"),
            ("group", "Your choice"),
        ):
            assert known in nodes
        assert [name for role, name in nodes if role == "button"] == ["Reply 1 1", "Tie 0", "Reply 2 2", "Undo u"]
        assert page.run("document.getElementById('count').getAttribute('role')") == "status"
        press_for(page, "kto")
        assert page.run("document.activeElement.id") == "title"


@pytest.mark.chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(run: Path, page: Page, dark: bool) -> None:
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1."""
    page.screen(1280, 900, dark=dark)
    with judging(run) as it:
        opened(page, it.url)
        found = page.run(CONTRASTS)
    assert len(found) > 10
    assert min(found) >= 4.5
