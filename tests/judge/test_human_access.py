"""The page of the human judge: who can use it, and for what."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from judge_runs import sample, write_run
from judging import judging


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [sample(n, f"kto says {n}", f"sft says {n}, at length") for n in range(6)])


def post(url: str, **headers: str | None) -> int:
    card = httpx.get(f"{url}state").json()["card"]
    here = re.match(r"http://[^/]+", url)[0]
    given = {name: value for name, value in ({"Origin": here} | headers).items() if value is not None}
    return httpx.post(f"{url}choice", json={"key": card["key"], "choice": "first"}, headers=given).status_code


def test_only_the_page_itself_can_vote(run: Path) -> None:
    with judging(run) as it:
        assert post(it.url, Origin="https://evil.example") == 403
        assert post(it.url, Origin="null") == 403
        assert post(it.url, Origin=None) == 403
        assert post(it.url, Origin=it.url.replace("127.0.0.1", "localhost").split("/")[2]) == 403
        assert post(it.url, Host="evil.example", Origin="http://evil.example") in (400, 403)
        assert httpx.get(f"{it.url}state", headers={"Host": "evil.example"}).status_code == 400
        assert httpx.get(f"{it.url}state").json()["done"] == 0
        assert (it.folder / "human.answers.jsonl").read_bytes() == b""
        assert post(it.url) == 200
        assert len(it.choices()) == 1


def test_only_who_was_told_the_address_can_read(run: Path) -> None:
    with judging(run) as it:
        here = re.match(r"http://[^/]+/", it.url)[0]
        for path in ("", "state", "wrong/state", "docs", "openapi.json"):
            assert httpx.get(here + path).status_code == 404
        assert httpx.get(it.url).status_code == 200
        port = re.search(r":(\d+)/", it.url)[1]
        listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        addresses = re.findall(rf"(?m)^ *\d+: ([0-9A-F]+):{int(port):04X} [0-9A-F]+:0000 0A", listening)
        assert addresses == ["0100007F"], "127.0.0.1 and nothing else"


def test_the_page_runs_only_what_its_server_sends_and_stands_in_no_other(run: Path) -> None:
    with judging(run) as it:
        for path in ("", "style.css", "page.js", "state"):
            headers = httpx.get(it.url + path).headers
            policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
            assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert headers["referrer-policy"] == "no-referrer"  # its address holds the token


def test_what_is_no_choice_is_refused_and_a_choice_sent_twice_counts_once(run: Path) -> None:
    with judging(run) as it:
        here = {"Origin": re.match(r"http://[^/]+", it.url)[0]}
        key = httpx.get(f"{it.url}state").json()["card"]["key"]
        for body in ({}, {"key": key}, {"key": key, "choice": "3"}, {"key": 7, "choice": "tie"}, [1]):
            assert httpx.post(f"{it.url}choice", json=body, headers=here).status_code == 422
        first, second = (
            httpx.post(f"{it.url}choice", json={"key": key, "choice": "first"}, headers=here).json() for _ in range(2)
        )
        assert first == second
        assert first["done"] == len(it.choices()) == 1


def test_the_page_takes_nothing_from_elsewhere_and_is_kept_by_no_cache(run: Path) -> None:
    with judging(run) as it:
        headers = httpx.get(it.url).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_the_page_is_not_told_who_wrote_what(run: Path) -> None:
    with judging(run) as it:
        shown = httpx.get(f"{it.url}state").text
    replies = {"kto says", "sft says"}
    assert json.loads(shown)["card"].keys() == {"key", "prompt", "first", "second"}
    for reply in replies:
        shown = shown.replace(reply, "")
    assert "kto" not in shown
    assert "sft" not in shown


def test_a_run_that_is_judged_already_shows_its_result_at_once(run: Path, run_script: Callable) -> None:
    with judging(run, "--limit", 1) as it:
        assert post(it.url) == 200
        httpx.post(f"{it.url}finish", json={}, headers={"Origin": re.match(r"http://[^/]+", it.url)[0]})
        assert it.ended()[0] == 0
    done = run_script("judge.py", run, "--judge", "human", "--against", "sft", "--limit", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "open http" not in done.stdout
    assert "win rate" in done.stdout
