"""The pages as a person uses them, in a real browser, against a real server and a model that answers by script."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Page
from openai_server import Server
from web_app import (
    MESSAGES,
    SCRIPT,
    answers,
    click,
    counting,
    opened,
    pressed,
    reloaded,
    said,
    send,
    until,
    votes,
    wait_pressed,
)

from kto_recipes.feedback.store import Store

SCRIPT_FILE = Path(__file__).parents[2] / "scripts" / "feedback.py"
pytestmark = pytest.mark.chromium


BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is: a file, and for what is tried with both a database of PostgreSQL as well."""
    is_file = getattr(request, "param", "sqlite") == "sqlite"
    return str(tmp_path / "f.db") if is_file else request.getfixturevalue("postgres_place")


@pytest.fixture
def chat(serve: Callable[..., str], model: Server, place: str, page: Page) -> str:
    """The address of the chat, which the browser is at."""
    url = serve("--store", place, "--endpoint", model.url, "--model", "tiny")
    opened(page, url)
    return url


@pytest.mark.parametrize("place", BOTH, indirect=True)
def test_a_person_chats_votes_changes_the_vote_and_finds_everything_again(chat, page, model, place) -> None:
    said(page, "hello", 1)
    assert page.run(MESSAGES) == ["hello", "Reply number 0."]
    assert page.run("document.getElementById('spoken').textContent") == "Reply number 0."  # to a screen reader
    assert page.run("document.activeElement.id") == "text"  # the next message can be typed at once
    click(page, "[data-vote=desirable]")
    wait_pressed(page, "desirable")
    click(page, "[data-vote=undesirable]")
    wait_pressed(page, "undesirable")
    said(page, "more", 2)
    click(page, "[data-vote=desirable]")
    wait_pressed(page, "desirable")
    click(page, "[data-vote=desirable]")
    wait_pressed(page)  # pressed again it is withdrawn
    assert [vote for _, vote, _ in votes(place)] == ["desirable", "undesirable", "desirable", "withdrawn"]
    assert counting(place) == [("Reply number 0.", False)]
    sent = ["hello", "Reply number 0.", "more"]
    assert [turn["content"] for turn in model.bodies[1]["messages"]] == sent
    reloaded(page, "document.querySelectorAll('[data-message]').length === 2")
    assert page.run(MESSAGES) == [*sent, "Reply number 1."]
    assert (pressed(page, 0), pressed(page, 1)) == (["undesirable"], [])
    assert page.run("document.querySelector('#conversations a').textContent") == "hello"
    page.run("document.getElementById('new').click()")
    page.wait_for("document.querySelectorAll('#thread > *').length === 0")
    said(page, "another", 1)
    assert [turn["content"] for turn in model.bodies[2]["messages"]] == ["another"]
    page.run("[...document.querySelectorAll('#conversations a')].at(-1).click()")
    page.wait_for("document.querySelectorAll('[data-message]').length === 2")
    assert page.complaints() == []
    assert all(url.startswith(chat) for url in page.requested())


def test_shift_and_enter_is_a_new_line(chat, page, model) -> None:
    page.run("document.getElementById('text').focus()")
    page.send("Input.insertText", text="one")
    enter = {"key": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 8, "text": "\r"}
    page.send("Input.dispatchKeyEvent", type="keyDown", **enter)
    page.send("Input.dispatchKeyEvent", type="keyUp", **enter)
    assert model.bodies == []
    said(page, "two", 1)
    assert model.bodies[0]["messages"][-1]["content"] == "one\ntwo"


def test_a_script_in_a_reply_is_shown_and_not_run(chat, page, model) -> None:
    said(page, "script", 1)
    assert page.run(MESSAGES) == ["script", SCRIPT]
    assert page.run("document.title") == "Chat and vote"
    reloaded(page, "document.querySelectorAll('[data-message]').length === 1")
    assert page.run("document.querySelectorAll('#thread script, #thread img').length") == 0
    assert page.run("document.title") == "Chat and vote"


def test_why_is_kept_with_the_vote(chat, page, place) -> None:
    said(page, "hello", 1)
    click(page, "[data-vote=undesirable]")
    wait_pressed(page, "undesirable")
    click(page, ".why summary")
    click(page, ".why input[value='too long']")
    page.run("document.querySelector('.why textarea').value = 'rambles'")
    click(page, ".why form button")
    page.wait_for("document.querySelector('.why summary').textContent.includes('rambles')")
    with Store(place) as store:
        last = [row for row, _ in store.votes()][-1]
    assert (last.value, last.reasons, last.comment) == ("undesirable", ["too long"], "rambles")


def test_a_reason_that_is_not_saved_yet_stays_while_the_chat_goes_on(chat, page, place) -> None:
    said(page, "hello", 1)
    click(page, "[data-vote=undesirable]")
    wait_pressed(page, "undesirable")
    click(page, ".why summary")
    page.run("document.querySelector('.why textarea').focus()")
    page.send("Input.insertText", text="rambles")
    said(page, "more", 2)
    click(page, ".why form button", 0)
    page.wait_for("document.querySelector('.why summary').textContent.includes('rambles')")
    with Store(place) as store:
        assert [row.comment for row, _ in store.votes()] == [None, "rambles"]
    assert (pressed(page, 0), pressed(page, 1)) == (["undesirable"], [])


@pytest.mark.parametrize("place", BOTH, indirect=True)
def test_a_better_answer_is_desirable_and_the_conversation_goes_on_from_it(chat, page, model, place) -> None:
    said(page, "hello", 1)
    click(page, "[data-action=edit]")
    page.run("document.querySelector('.editor textarea').value = 'A better one.'")
    page.run("document.querySelector('.editor').requestSubmit()")
    page.wait_for("document.querySelector('#thread').innerText.includes('written by a person')")
    assert page.run(MESSAGES) == ["hello", "A better one."]
    assert pressed(page) == ["desirable"]
    assert counting(place) == [("Reply number 0.", False), ("A better one.", True)]
    with Store(place) as store, store.read() as connection:
        links = connection.exec_driver_sql("SELECT edit_of FROM messages WHERE content = 'A better one.'").all()
        assert links == [(2,)]
    said(page, "go on", 2)
    assert [turn["content"] for turn in model.bodies[1]["messages"]] == ["hello", "A better one.", "go on"]
    click(page, "[data-action=before]", 0)  # back to the original
    page.wait_for("document.querySelectorAll('[data-message]').length === 1")
    assert page.run(MESSAGES) == ["hello", "Reply number 0."]
    assert pressed(page) == ["undesirable"]


def test_a_better_answer_that_is_not_saved_yet_stays_while_the_chat_goes_on(chat, page, place) -> None:
    said(page, "hello", 1)
    click(page, "[data-action=edit]")
    page.send("Input.insertText", text=" Begun")
    said(page, "more", 2)
    text = "document.querySelector('[data-message=\"2\"] .editor textarea')"
    assert page.run(f"{text}.value") == "Reply number 0. Begun"
    send(page, "slow")
    page.wait_for(f"({MESSAGES})[5]?.includes('word 3')")
    page.run(f"{text}.focus()")
    page.press("Escape")
    page.wait_for("document.querySelectorAll('[data-message]').length === 3")
    page.send("Input.insertText", text=", and ended.")  # the focus is not lost either, nor the place in the text
    assert page.run(f"{text}.value") == "Reply number 0. Begun, and ended."
    page.run("document.getElementById('new').click()")
    page.wait_for("document.querySelectorAll('#thread > *').length === 0")
    page.run("history.back()")
    page.wait_for(text)
    page.run("document.querySelector('.editor').requestSubmit()")
    page.wait_for("document.querySelector('#thread').innerText.includes('written by a person')")
    assert page.run(MESSAGES) == ["hello", "Reply number 0. Begun, and ended."]
    assert counting(place) == [("Reply number 0.", False), ("Reply number 0. Begun, and ended.", True)]
    click(page, "[data-action=before]")
    assert page.run("document.querySelector('.editor')") is None  # what is saved is edited no more
    assert page.complaints() == []


def test_a_better_answer_that_is_given_up_is_begun_anew(chat, page) -> None:
    said(page, "hello", 1)
    click(page, "[data-action=edit]")
    page.send("Input.insertText", text=" Begun")
    click(page, ".editor button[type=button]")
    assert page.run("document.activeElement.dataset.action") == "edit"
    said(page, "more", 2)
    click(page, "[data-action=edit]", 0)
    assert page.run("document.querySelector('.editor textarea').value") == "Reply number 0."


def test_another_conversation_can_be_opened_while_a_reply_is_written(chat, page) -> None:
    said(page, "hello", 1)
    page.run("document.getElementById('new').click()")
    page.wait_for("document.querySelectorAll('#thread > *').length === 0")
    send(page, "slow")
    page.wait_for(f"({MESSAGES})[1]?.includes('word 3')")
    page.run("[...document.querySelectorAll('#conversations a')].at(-1).click()")
    page.wait_for("!document.getElementById('send').disabled")
    assert page.run(MESSAGES) == ["hello", "Reply number 0."]
    said(page, "more", 2)
    assert page.run(MESSAGES)[2] == "more"


def test_a_reply_made_again_stands_beside_the_first(chat, page, place) -> None:
    said(page, "hello", 1)
    page.run("document.querySelector('[data-action=again]').focus()")
    click(page, "[data-action=again]")
    page.wait_for("document.querySelector('.others')")
    page.wait_for("document.activeElement.dataset.message === '3'")  # the focus is not lost
    assert page.run(MESSAGES) == ["hello", "Reply number 1."]
    assert page.run("document.querySelector('.others').textContent") == "‹2 of 2›"
    click(page, "[data-action=before]")
    assert page.run(MESSAGES) == ["hello", "Reply number 0."]
    with Store(place) as store, store.read() as connection:
        kept = connection.exec_driver_sql("SELECT content, parent_id, model FROM messages WHERE role = 'assistant'")
        assert kept.all() == [("Reply number 0.", 1, "tiny"), ("Reply number 1.", 1, "tiny")]


def test_a_model_server_that_dies_leaves_what_it_said_and_a_page_that_works(chat, page, model) -> None:
    said(page, "die", 1)
    problem = page.run("document.getElementById('problem').textContent")
    assert problem == (
        f"Only a part of the reply came, which is kept: {model.url}: the model's server broke off before the end of "
        "the reply; its own log may say why."
    )
    assert page.run(MESSAGES) == ["die", "The first half"]
    assert "broke off" in page.run("document.getElementById('thread').textContent")
    click(page, "[data-vote=undesirable]")
    wait_pressed(page, "undesirable")
    said(page, "hello", 2)
    assert page.run(MESSAGES)[-1] == f"Reply number {len(model.bodies) - 1}."
    assert page.run("document.getElementById('problem').hidden")


def test_a_reply_comes_piece_by_piece_and_what_was_said_when_it_is_stopped_is_kept(chat, page, model) -> None:
    send(page, "slow")
    page.wait_for(f"({MESSAGES})[1]?.includes('word 3')")
    assert page.run("document.querySelector('[aria-busy=true]') !== null")
    page.press("Escape")
    page.wait_for("document.querySelectorAll('[data-message]').length === 1")
    text = page.run(MESSAGES)[1]
    assert text.startswith("word 0 word 1 word 2 word 3")
    assert "word 499" not in text
    reloaded(page, "document.querySelectorAll('[data-message]').length === 1")
    assert page.run(MESSAGES) == ["slow", text]
    page.wait_for("document.getElementById('thread').textContent.includes('stopped before its end')")
    assert model.gone == 1  # nothing more is generated for nobody


def test_what_came_before_the_page_was_closed_is_kept(chat, page, place, model) -> None:
    send(page, "slow")
    page.wait_for(f"({MESSAGES})[1]?.includes('word 3')")
    page.open("about:blank")
    with Store(place) as store:
        until(lambda: answers(store))
        found = answers(store)
    assert found[0].startswith("word 0 word 1 word 2 word 3")
    assert "word 499" not in found[0]


def test_a_vote_that_was_not_recorded_is_not_shown_as_one(chat, page) -> None:
    said(page, "hello", 1)
    page.run("window.fetch = () => Promise.reject(new TypeError())")
    click(page, "[data-vote=desirable]")
    page.wait_for("!document.getElementById('problem').hidden")
    assert page.run("document.getElementById('problem').textContent") == (
        "The vote was not recorded: the server does not answer; is it still running?"
    )
    assert pressed(page) == []


def test_a_server_that_was_killed_has_what_it_said_it_had(model, page, place) -> None:
    command = [sys.executable, str(SCRIPT_FILE), "serve", "--port", "0", "--store", place]
    command += ["--endpoint", model.url, "--model", "tiny"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        opened(page, process.stdout.readline().split(",")[0])
        said(page, "hello", 1)
        click(page, "[data-vote=desirable]")
        wait_pressed(page, "desirable")
        os.kill(process.pid, signal.SIGKILL)
    page.run("document.getElementById('text').focus()")
    send(page, "are you there?")
    page.wait_for("!document.getElementById('problem').hidden")
    assert page.run("document.getElementById('text').value") == "are you there?"
    assert counting(place) == [("Reply number 0.", True)]
