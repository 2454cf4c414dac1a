"""Review, statistics and login as a person uses them, and what all pages must be, in a real browser."""

import json
from pathlib import Path

import pytest
from browser import CONTRASTS
from web_app import NAMELESS, click, counting, opened, reloaded, said, votes, wait_pressed

from kto_recipes.feedback.store import Store

pytestmark = pytest.mark.chromium
N = 10


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "f.db"


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = [{"prompt": f"question {n}", "completion": f"answer {n}", "model": "llama"} for n in range(N)]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_ten_answers_are_reviewed_with_the_keyboard_across_a_reload_and_a_restart(serve, page, place, answers) -> None:
    url = serve("--store", str(place), "--review", str(answers))
    opened(page, f"{url}/review")
    for number, key in enumerate("1+0-1"):
        assert page.run("document.getElementById('completion').textContent") == f"answer {number}"
        page.press(key)
        page.wait_for(f"document.getElementById('count').textContent === '{number + 1} of {N}'")
        page.wait_for(f"document.getElementById('completion').textContent === 'answer {number + 1}'")
    page.press("u")  # back to answer 4, whose vote is taken back
    page.wait_for(f"document.getElementById('count').textContent === '4 of {N}'")
    page.press("s")
    page.wait_for("document.getElementById('completion').textContent === 'answer 5'")
    url = serve("--store", str(place), "--review", str(answers))  # another server on the same store
    opened(page, f"{url}/review")
    assert page.run("document.getElementById('count').textContent") == f"4 of {N}"
    page.wait_for("document.getElementById('completion').textContent === 'answer 4'")  # another address remembers none
    for number in range(4, N):
        page.wait_for(f"document.getElementById('completion').textContent === 'answer {number}'")
        page.press("1")
    page.wait_for("document.getElementById('title').textContent === 'Everything is labelled'")
    assert page.run("document.getElementById('count').textContent") == f"{N} of {N}"
    assert counting(place) == [(f"answer {n}", n not in (2, 3)) for n in range(N)]
    assert page.complaints() == []


def test_skipped_answers_come_last_and_j_and_k_go_on_and_back(serve, page, place, answers) -> None:
    opened(page, serve("--store", str(place), "--review", str(answers)) + "/review")
    text = "document.getElementById('completion').textContent"
    for key, shown in (("j", 1), ("ArrowDown", 2), ("k", 1), ("s", 2), ("?", 2), ("x", 2)):
        page.press(key) if len(key) == 1 else page.send("Input.dispatchKeyEvent", type="rawKeyDown", key=key)
        page.wait_for(f"{text} === 'answer {shown}'")
    assert page.run("document.getElementById('help').open")
    reloaded(page, f"{text} === 'answer 0'")
    assert page.run("document.getElementById('count').textContent") == f"0 of {N}, 1 skipped"
    page.press("0")
    page.wait_for(f"{text} === 'answer 2'")
    page.run("document.getElementById('keys').click()")  # without single keys
    page.press("1")
    assert page.run("document.getElementById('count').textContent") == f"1 of {N}, 1 skipped"
    assert votes(place) == [("answer 0", "undesirable", "")]


def test_raters_are_told_apart_and_their_agreement_is_told(serve, page, place, answers) -> None:
    url = serve("--store", str(place), "--review", str(answers))
    with Store(place) as store:
        for number in range(2):
            vote = {"rater": "ben", "model": "llama"}
            store.record(f"question {number}", f"answer {number}", number == 0, vote)
    opened(page, f"{url}/review")
    page.run("document.getElementById('rater').focus()")
    page.send("Input.insertText", text="ana")
    page.run("document.activeElement.blur()")
    page.wait_for("!document.getElementById('item').hidden")  # what ana has labelled is known
    for number in range(2):
        page.wait_for(f"document.getElementById('completion').textContent === 'answer {number}'")
        page.press("1")
    page.wait_for(f"document.getElementById('count').textContent === '2 of {N}'")
    opened(page, f"{url}/statistics")
    assert page.run("document.getElementById('total').textContent") == (
        "4 votes count: 3 desirable, 1 undesirable, 75 % desirable."
    )
    told = page.run("document.getElementById('agreement').textContent")
    # By hand: one disagreement in two pairs; alpha = 1 - (4 - 1) * 2 / (2 * 3 * 1) = 0.
    assert "2 answers have votes of two raters or more; 50 % of the pairs of their raters agree." in told
    assert "Krippendorff's alpha (nominal) is 0.00" in told
    rows = page.run("[...document.querySelectorAll('#by-model tbody tr')].map((it) => it.innerText.split('\\t'))")
    assert rows == [["llama", "4", "3", "1", "75 %"]]
    assert page.run("document.querySelectorAll('#days tbody tr').length") == 1
    assert page.run("document.querySelector('#chart svg').getAttribute('role')") == "img"
    page.run("localStorage.clear()")
    assert all(it.startswith(url) for it in page.requested())


def test_who_has_a_token_logs_in_once(serve, page, place, answers, run_script) -> None:
    made = run_script("feedback.py", "token", "create", "ana", "--scope", "vote", "--scope", "read", "--store", place)
    url = serve("--store", str(place), "--review", str(answers))
    page.open(f"{url}/review")
    page.wait_for("location.pathname === '/login' && document.readyState === 'complete'")
    page.run("document.getElementById('token').focus()")
    page.send("Input.insertText", text="kto_wrong")
    page.press("Enter")
    page.wait_for("document.getElementById('problem').textContent === 'the token is unknown.'")
    page.send("Input.insertText", text=made.stdout.strip())
    page.press("Enter")
    page.wait_for("location.pathname === '/review' && document.body?.dataset.ready")
    page.press("1")
    page.wait_for(f"document.getElementById('count').textContent === '1 of {N}'")
    assert page.run("document.cookie") == ""
    assert "kto_" not in page.run("document.documentElement.outerHTML + JSON.stringify({...localStorage})")
    page.run("document.getElementById('logout').click()")
    page.wait_for("location.pathname === '/login'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_can_be_read_and_operated_in_both_themes_and_on_a_phone(
    serve, model, page, place, answers, dark
) -> None:
    url = serve("--store", str(place), "--endpoint", model.url, "--model", "tiny", "--review", str(answers))
    page.screen(390, 844, dark=dark)
    opened(page, url)
    said(page, "die " + "x" * 300, 1)
    click(page, "[data-vote=undesirable]")
    wait_pressed(page, "undesirable")
    page.run("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    click(page, "[data-action=edit]")
    for path in ("", "/review", "/statistics", "/login"):
        if path:
            page.open(url + path)
            page.wait_for("document.body.className === 'login' || document.body.dataset.ready")
            page.run("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
        contrasts = page.run(CONTRASTS)
        assert len(contrasts) > 3
        assert min(contrasts) >= 4.5, path
        assert page.run("document.documentElement.scrollWidth") <= 390, path
        assert page.run(NAMELESS) == [], path
        assert page.run("document.querySelectorAll('main').length") == 1
