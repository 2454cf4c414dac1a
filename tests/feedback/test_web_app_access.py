"""Who may use the pages, and what a server says to requests that do not come from them."""

import re
from collections.abc import Callable
from functools import partial

import pytest
from fastapi.testclient import TestClient

from kto_recipes.feedback.api import create_app
from kto_recipes.feedback.app.pages import add_pages
from kto_recipes.feedback.app.voice import Remote
from kto_recipes.feedback.store import Store
from kto_recipes.feedback.tokens import add_token, revoke_token
from kto_recipes.generation import Sampling
from kto_recipes.settings import Endpoint

HERE = {"Origin": "http://localhost"}
NOBODY = Endpoint(url="http://127.0.0.1:9/v1", model="tiny", retries=0)  # the port "discard", where nothing listens
PAGES = ["/", "/review", "/statistics", "/login"]


@pytest.fixture(params=["sqlite"])
def place(tmp_path) -> str:
    return str(tmp_path / "feedback.db")


@pytest.fixture
def browse(store: Store) -> Callable[..., TestClient]:
    """browse(needs_token=True): a browser, of which each has its own cookies."""
    voice = Remote(NOBODY, None, Sampling(5, 0))

    def make(base_url: str = "http://localhost", **settings: bool) -> TestClient:
        app = create_app(store, per_second=10_000, **settings)
        add_pages(app, store, voice, None)
        return TestClient(app, base_url=base_url, raise_server_exceptions=False)

    return make


def question(browser: TestClient, **more: str) -> dict[str, int]:
    body = {"messages": [{"role": "user", "content": "q"}]}
    made = browser.post("/api/conversations", json=body, headers=more).json()
    return {"conversation": made["id"], "parent": made["messages"][0]}


@pytest.mark.parametrize("path", [*PAGES, "/assets/chat.js", "/assets/style.css"])
def test_a_page_runs_only_what_this_server_sends(browse, path) -> None:
    answer = browse().get(path)
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_holds_no_script_and_no_style_of_its_own_and_no_address_of_another_site(browse, path) -> None:
    text = browse().get(path).text
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=|https?://", text) == []
    assert '<html lang="en">' in text
    assert text.count("<main") == text.count("<h1") == 1


@pytest.mark.parametrize("name", ["../pages.py", "..%2fpages.py", "pages.py", "chat", "app.css", "nothing.js"])
def test_no_other_file_can_be_had(browse, name) -> None:
    assert browse().get(f"/assets/{name}").status_code == 404


def test_on_one_s_own_machine_no_token_is_needed(browse) -> None:
    settings = browse().get("/api/app/settings").json()
    sampling = {"max_new_tokens": 5, "temperature": 0, "top_p": 1.0, "top_k": 0}
    assert settings["speaker"] == {"model": "tiny", "run": None, "system": None, "sampling": sampling}
    assert settings["session"] is False


def test_a_name_that_was_bent_to_point_here_gets_nothing_without_a_token(browse) -> None:
    assert browse("http://evil.example").get("/api/app/settings").status_code == 403


def test_a_token_is_given_once_and_then_the_cookie_is_enough(browse, store, token_of) -> None:
    browser = browse(needs_token=True)
    assert browser.get("/api/app/settings").status_code == 401
    answer = browser.post("/api/app/session", headers={**HERE, **token_of(store, "vote", "read")})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Max-Age" not in cookie  # until the browser is closed
    assert browser.get("/api/app/settings").json()["session"] is True
    assert question(browser, **HERE) == {"conversation": 1, "parent": 1}
    assert browser.get("/api/statistics").status_code == 200
    browser.delete("/api/app/session", headers=HERE)
    assert browser.get("/api/app/settings").status_code == 401


def test_servers_at_two_ports_of_one_host_do_not_take_each_other_s_cookie(browse, store, token_of) -> None:
    first, second = (browse(f"http://localhost:{port}", needs_token=True) for port in (8000, 8001))
    second.cookies = first.cookies  # a browser sends them to every port
    for browser, scopes in ((first, ("read", "vote")), (second, ("read",))):
        headers = {"Origin": str(browser.base_url).rstrip("/"), **token_of(store, *scopes)}
        assert browser.post("/api/app/session", headers=headers).status_code == 204
    body = {"prompt": "q", "completion": "a", "label": True}
    assert first.post("/api/votes", json=body, headers={"Origin": "http://localhost:8000"}).status_code == 201
    assert second.post("/api/votes", json=body, headers={"Origin": "http://localhost:8001"}).status_code == 403
    second.delete("/api/app/session", headers={"Origin": "http://localhost:8001"})
    assert [browser.get("/api/app/settings").status_code for browser in (first, second)] == [200, 401]


def test_behind_tls_the_cookie_travels_by_tls_alone(browse, store, token_of) -> None:
    headers = {"Origin": "https://votes.example", **token_of(store, "read")}
    answer = browse("https://votes.example", needs_token=True).post("/api/app/session", headers=headers)
    assert "Secure" in answer.headers["set-cookie"]


def test_a_token_that_is_no_good_gives_no_session(browse, store, token_of) -> None:
    browser = browse(needs_token=True)
    expired = token_of(store, "read", days=1e-9)
    for headers, status in (({"Authorization": "Bearer kto_x"}, 401), (expired, 401), (token_of(store, "vote"), 403)):
        answer = browser.post("/api/app/session", headers={**HERE, **headers})
        assert (answer.status_code, answer.headers.get("set-cookie")) == (status, None)


def test_a_revoked_token_ends_its_session(browse, store) -> None:
    made = store.write(partial(add_token, name="test", scopes=["read"], days=None)).result()
    store.write(partial(revoke_token, number=made["id"])).result()
    browser = browse(needs_token=True)
    browser.cookies.set("feedback_token", made["token"])
    assert browser.get("/api/app/settings").status_code == 401


@pytest.mark.parametrize("origin", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {}])
def test_a_page_of_another_site_cannot_use_somebody_s_cookie(browse, store, token_of, origin) -> None:
    browser = browse(needs_token=True)
    browser.post("/api/app/session", headers={**HERE, **token_of(store, "vote", "read")})
    body = {"prompt": "q", "completion": "a", "label": True}
    assert browser.post("/api/votes", json=body, headers=origin).status_code == 403
    assert browser.post("/api/votes", json=body, headers=HERE).status_code == 201
    with Store(store.database.place) as other:
        assert other.statistics()["total"] == 1


@pytest.mark.parametrize("origin", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {}])
def test_a_page_of_another_site_cannot_have_the_model_speak_on_an_open_server(browse, origin) -> None:
    browser = browse()
    asked = question(browser)
    path = f"/api/app/conversations/{asked['conversation']}/replies"
    body = {"parent": asked["parent"], "name": "12345678"}
    assert browser.post(path, json=body, headers=origin).status_code == 403
    assert browser.post(path, json=body, headers=HERE).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "status"), [(["read"], 403), (["vote"], 200)], ids=["who may read alone", "who may vote"]
)
def test_only_who_may_vote_has_the_model_speak(browse, store, token_of, scopes, status) -> None:
    asked = question(browse(), **token_of(store, "vote"))
    path = f"/api/app/conversations/{asked['conversation']}/replies"
    body = {"parent": asked["parent"], "name": "12345678"}
    assert browse().post(path, json=body, headers={**HERE, **token_of(store, *scopes)}).status_code == status


def test_a_reply_that_cannot_be_given_is_a_sentence(browse) -> None:
    browser = browse()
    asked = question(browser)
    path = f"/api/app/conversations/{asked['conversation']}/replies"

    def reply(path: str, **body: object) -> tuple[int, str]:
        answer = browser.post(path, json={"parent": 1, "name": "12345678"} | body, headers=HERE)
        return answer.status_code, answer.text

    assert reply(path, parent=7) == (404, '{"error":"there is no message 7 in this conversation"}')
    assert reply("/api/app/conversations/9/replies")[0] == 404
    assert reply(path, parent="1")[0] == reply(path, name="x")[0] == reply(path, more=1)[0] == 422
    status, line = reply(path)
    assert status == 200
    assert '"message":null,"ended":"failed"' in line
    assert "http://127.0.0.1:9/v1: cannot be reached" in line
    answer = {"role": "assistant", "content": "a", "parent": 1}
    assert browser.post(f"/api/conversations/{asked['conversation']}/messages", json=answer).json() == {"id": 2}
    assert reply(path, parent=2)[0] == 422
