"""The pages in headless Chromium, in front of a server that runs as a person starts it and a model that is scripted."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser import WAIT_S, Page
from openai_server import Stream

from kto_recipes.feedback.store import Store

SCRIPT = "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\">"
# What is operated and has no name that a screen reader could say.
NAMELESS = """[...document.querySelectorAll("button, input, textarea, select, a, summary")].filter((it) =>
  !(it.getAttribute("aria-label") || it.textContent.trim() || it.labels?.length)).map((it) => it.outerHTML)"""
MESSAGES = "[...document.querySelectorAll('#thread .text')].map((it) => it.textContent)"


def answer(number: int, body: dict[str, Any]) -> Stream:
    """Says what it is told to: "die", "slow", "script"; else which request this is."""
    asked = body["messages"][-1]["content"]
    if asked == "die":
        return Stream(("The first", " half"), dies=True)
    if asked == "slow":
        return Stream(tuple(f"word {n} " for n in range(500)), pause_s=0.02)
    return Stream((SCRIPT,) if asked == "script" else ("Reply ", f"number {number}."))


def opened(page: Page, url: str) -> None:
    page.open(url)
    page.wait_for("document.body.dataset.ready")


def reloaded(page: Page, condition: str) -> None:
    """Load the page again, and wait until something is so."""
    page.run("window.isOld = true")
    page.send("Page.reload")
    page.wait_for(f"!window.isOld && document.body?.dataset.ready && {condition}")


def send(page: Page, text: str) -> None:
    """Type a message, and the Enter key."""
    page.run("document.getElementById('text').focus()")
    page.send("Input.insertText", text=text)
    page.press("Enter")


def said(page: Page, text: str, replies: int) -> None:
    """Send a message, and wait until there are so many replies."""
    send(page, text)
    page.wait_for(f"document.querySelectorAll('[data-message]').length === {replies}")


def click(page: Page, selector: str, reply: int = -1) -> None:
    """What `selector` finds in a reply, by default in the last one."""
    page.run(f"[...document.querySelectorAll('[data-message]')].at({reply}).querySelector({selector!r}).click()")


def pressed(page: Page, reply: int = -1) -> list[str]:
    """Which thumbs under a reply say that they are pressed."""
    found = f"[...document.querySelectorAll('[data-message]')].at({reply}).querySelectorAll('[aria-pressed=true]')"
    return page.run(f"[...{found}].map((it) => it.dataset.vote)")


def wait_pressed(page: Page, *votes: str) -> None:
    page.wait_for(
        "JSON.stringify([...[...document.querySelectorAll('[data-message]')].at(-1)"
        f".querySelectorAll('[aria-pressed=true]')].map((it) => it.dataset.vote)) === {json.dumps(votes)!r}"
        ".replaceAll(' ', '')"
    )


def votes(place: str | Path) -> list[tuple[str, str, str]]:
    """Every vote of a store: on what, which, by whom."""
    with Store(place) as store:
        return [(row.content, row.value, row.rater) for row, _ in store.votes()]


def counting(place: str | Path) -> list[tuple[str, bool]]:
    """The KTO rows of a store: the answer and its label."""
    with Store(place) as store:
        return [(row["completion"][0]["content"], row["label"]) for row in store.kto_rows()]


def answers(store: Store) -> list[str]:
    """All replies that a store holds."""
    with store.read() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT content FROM messages WHERE role = 'assistant'")]


def until(is_so: Callable[[], Any]) -> None:
    """Wait until it is."""
    end = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
