"""What goes to the Hub and what does not, asked of the real client and a small server that answers as the Hub."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from card.card_run import LLAMA_TEXT, build
from card.hub_server import Hub
from http_server import in_a_thread
from small_hub import TOKEN, hub_environment

from kto_recipes.card.card import finished_model
from kto_recipes.card.secrets import found_in
from kto_recipes.card.upload import check_repo, files_to_upload, refuse_licence_trouble
from kto_recipes.errors import UserError

REPO = Path(__file__).parents[2]
UPLOADED = {
    "LICENSE", "NOTICE", "README.md", "chat_template.jinja", "config.json", "generation_config.json",
    "model.safetensors", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip
Push = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with in_a_thread(Hub()) as server:
        yield server


@pytest.fixture
def push(tmp_path: Path, hub: Hub) -> Push:
    """push(run, repo, *options, token=, **environment): scripts/push.py as a person starts it, that server its Hub."""

    def start(run: Path, *arguments: str, token: str | None = TOKEN, **more: str) -> subprocess.CompletedProcess[str]:
        environment = hub_environment(tmp_path / "home", hub, token) | {"COLUMNS": "200"} | more
        command = [sys.executable, str(REPO / "scripts" / "push.py"), str(run), *arguments]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=tmp_path, timeout=60)
        assert TOKEN not in done.stdout + done.stderr
        return done

    return start


@pytest.fixture
def licensed(run: Path) -> Path:
    """The run, with the licence's text beside its model."""
    (run / "kto" / "merged" / "LICENSE").write_text(LLAMA_TEXT)
    return run


# --- what goes ----------------------------------------------------------------------------------------------


def test_model_card_licence_and_notice_go_to_a_private_repository_and_nothing_else(
    licensed: Path, push: Push, hub: Hub
) -> None:
    done = push(licensed, "me/Llama-chat")
    assert done.returncode == 0, done.stderr
    assert hub.repos["model"] == {"me/Llama-chat": True}
    assert set(hub.files) == UPLOADED
    assert hub.files == {name: (licensed / "kto" / "merged" / name).read_bytes() for name in UPLOADED}
    assert b"# Llama-chat" in hub.files["README.md"]
    assert hub.files["NOTICE"].decode().startswith("Llama 3.1 is licensed under the Llama 3.1 Community License, ")
    assert done.stdout.splitlines()[-1] == f"{hub.url}/me/Llama-chat"
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_what_will_go_is_shown_with_its_size_before_anything_goes(licensed: Path, push: Push, hub: Hub) -> None:
    done = push(licensed, "me/Llama-chat", "--dry-run", token=None)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in UPLOADED)
    assert f"{(licensed / 'kto/merged/model.safetensors').stat().st_size} bytes" in done.stdout
    assert done.stdout.endswith("would go to me/Llama-chat, private; nothing was uploaded\n")
    assert hub.asked == []


def test_public_is_public_when_asked_for_and_may_be_pushed_to_again(licensed: Path, push: Push, hub: Hub) -> None:
    assert push(licensed, "me/Llama-chat", "--public").returncode == 0
    assert hub.repos["model"] == {"me/Llama-chat": False}
    assert push(licensed, "me/Llama-chat", "--public").returncode == 0


def test_an_adapter_goes_alone_where_its_base_is_on_the_hub(tmp_path: Path, push: Push, hub: Hub) -> None:
    run = build(tmp_path, "Qwen/Qwen2.5-7B-Instruct", sft=False)
    for name in ("adapter_model.safetensors", "adapter_config.json", "model.safetensors", "tokenizer.json"):
        (run / "kto" / name).write_bytes(b"{}")
    (run / "kto" / "metrics.jsonl").write_text("{}")
    (run / "kto" / "LICENSE").write_text("Apache License\nVersion 2.0")
    done = push(run, "me/adapter", "--what", "adapter")
    assert done.returncode == 0, done.stderr
    cards = {"LICENSE", "NOTICE", "README.md"}
    assert set(hub.files) == {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} | cards
    assert b"base_model_relation: adapter" in hub.files["README.md"]


# --- what the licence forbids -------------------------------------------------------------------------------


def test_a_llama_under_another_name_is_refused(licensed: Path, push: Push, refused, hub: Hub) -> None:
    message = refused(push(licensed, "me/nina-chat"))
    assert 'begin with "Llama"; for example me/Llama-nina-chat' in message
    assert hub.asked == []
    with pytest.raises(UserError, match='begin with "Llama"'):
        refuse_licence_trouble(finished_model(licensed), "me/llama-chat")


def test_without_the_licences_text_it_is_refused_with_where_to_get_it(run: Path, push: Push, refused) -> None:
    assert "hf download meta-llama/Llama-3.1-8B LICENSE" in refused(push(run, "me/Llama-chat"))
    assert not (run / "kto" / "merged" / "NOTICE").exists()


def test_an_unknown_base_is_refused_until_a_licence_is_stated(tmp_path: Path, push: Push, refused, hub: Hub) -> None:
    run = build(tmp_path, "somebody/a-model")
    (run / "kto" / "merged" / "LICENSE").write_text("Do as you like.")
    assert "state it, as in --licence mit" in refused(push(run, "me/chat"))
    assert push(run, "me/chat", "--licence", "mit").returncode == 0
    assert b"license: mit" in hub.files["README.md"]


def test_the_research_licence_of_qwen_is_displayed_and_noticed(tmp_path: Path, push: Push, hub: Hub) -> None:
    run = build(tmp_path, "Qwen/Qwen2.5-3B-Instruct")
    (run / "kto" / "merged" / "LICENSE").write_text("Qwen RESEARCH LICENSE AGREEMENT")
    assert push(run, "me/chat").returncode == 0
    assert b"**Improved using Qwen.**" in hub.files["README.md"]
    assert b"Improved using Qwen" in hub.files["NOTICE"]


# --- what must not go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train.jsonl", "votes.csv", "train-00000.parquet"])
def test_a_folder_with_data_in_it_is_refused(licensed: Path, name: str) -> None:
    (licensed / "kto" / "merged" / name).write_text("{}")
    with pytest.raises(UserError, match=f"holds {name}, which look like data"):
        files_to_upload(finished_model(licensed))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hf_" + "Ab1" * 12, "Hugging Face token"),
        ("sk-proj-" + "Ab1" * 12, "sk-"),
        ("AKIA" + "ABCD" * 4, "AWS access key"),
        ("ghp_" + "Ab1" * 12, "GitHub token"),
        ("github_pat_" + "Ab1" * 14, "GitHub token"),
        ("AIza" + "Ab1cd" * 7, "Google"),
        ("xoxb-123456789012", "Slack"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ('"api_key": "abcd1234efgh5678"', "is set"),
        ("API-KEY=abcd1234efgh5678", "is set"),
        ("password: correct-horse-battery", "is set"),
        ("it is tell-nobody-42", "the value of MINE"),
    ],
)
def test_a_secret_is_found_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(f"{{\n{text}\n}}")
    found = found_in(path, [("the value of MINE", "tell-nobody-42")])
    assert found
    assert all(line == 2 and what in told for line, told in found)


@pytest.mark.parametrize(
    "text",
    [
        "api_key",
        '"api_key": null',
        "risk-adjusted-return-of-the-year",
        "hf_hub",
        "task-specific-fine-tuned-model",
        "sk-",
    ],
)
def test_what_is_no_secret_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    assert found_in(path, []) == []


def test_the_projects_own_tokenizer_and_licence_hold_no_secret(tmp_path: Path) -> None:
    from tiny_models import llama_tokenizer

    llama_tokenizer().save_pretrained(tmp_path)
    assert [found_in(path, []) for path in (*tmp_path.glob("*.json"), REPO / "LICENSE")] == [[]] * 3


def test_a_file_with_a_secret_stops_the_push(licensed: Path, push: Push, refused, hub: Hub) -> None:
    (licensed / "kto" / "merged" / "tokenizer_config.json").write_text(f'{{\n"url": "https://{TOKEN}@hub"}}')
    message = refused(push(licensed, "me/Llama-chat"))
    assert "tokenizer_config.json:2: holds what looks like a Hugging Face token" in message
    assert hub.asked == []


def test_the_value_of_a_secret_variable_stops_the_push(licensed: Path, push: Push, refused) -> None:
    (licensed / "kto" / "merged" / "config.json").write_text('{"note": "open sesame please"}')
    done = push(licensed, "me/Llama-chat", MY_SERVICE_TOKEN="open sesame please")
    assert "config.json:1: holds what looks like the value of MY_SERVICE_TOKEN" in refused(done)
    assert "sesame" not in done.stderr


def test_a_path_of_this_machine_in_the_models_files_stops_the_push(licensed: Path) -> None:
    (licensed / "kto" / "merged" / "config.json").write_text(f'{{"_name_or_path": "{Path.cwd()}/models/mine"}}')
    with pytest.raises(UserError, match="the path of this folder"):
        files_to_upload(finished_model(licensed))


# --- where it must not go -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repo", "sentence"),
    [
        ("datasets/me/chats", "not a repository of models"),
        ("https://huggingface.co/datasets/me/chats", "not a repository of models"),
        ("spaces/me/app", "not a repository of models"),
        ("Llama-chat", "write owner/name"),
        ("me/Llama chat", "write owner/name"),
        ("me/Llama/chat", "write owner/name"),
        ("https://huggingface.co/me/Llama-chat", "write owner/name"),
        ("", "write owner/name"),
        ("../Llama-chat", "write owner/name"),
    ],
)
def test_what_is_no_model_repository_is_refused(repo: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_repo(repo)


def test_a_repository_that_is_public_already_is_refused_before_anything_is_uploaded(
    licensed: Path, push: Push, hub: Hub
) -> None:
    hub.repos["model"]["me/Llama-chat"] = False
    done = push(licensed, "me/Llama-chat")
    assert (done.returncode, "is public, and --public was not given" in done.stderr) == (2, True)
    assert hub.files == {}


def test_an_owner_whose_repositories_are_all_public_is_noticed(licensed: Path, push: Push, hub: Hub) -> None:
    hub.makes_public = True
    done = push(licensed, "me/Llama-chat")
    assert (done.returncode, "is public" in done.stderr, hub.files) == (2, True, {})


def test_a_repository_of_data_is_refused(licensed: Path, push: Push, hub: Hub) -> None:
    hub.repos["dataset"]["me/Llama-chat"] = True
    done = push(licensed, "me/Llama-chat")
    assert (done.returncode, "a repository of data" in done.stderr, hub.repos["model"]) == (2, True, {})


# --- what can go wrong --------------------------------------------------------------------------------------


def test_without_a_token_it_is_refused_with_where_to_get_one(licensed: Path, push: Push, refused, hub: Hub) -> None:
    assert "https://huggingface.co/settings/tokens" in refused(push(licensed, "me/Llama-chat", token=None))
    assert hub.asked == []


@pytest.mark.parametrize(
    ("status", "sentence"), [(401, "does not know this token"), (403, "may not write"), (418, "answered 418")]
)
def test_a_hub_that_says_no_is_one_sentence(licensed: Path, push: Push, hub: Hub, status: int, sentence: str) -> None:
    hub.refuses = status
    done = push(licensed, "me/Llama-chat")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert sentence in done.stderr


def test_a_card_that_the_hub_refuses_is_one_sentence(licensed: Path, push: Push, hub: Hub) -> None:
    hub.refuses_card = True
    done = push(licensed, "me/Llama-chat")
    assert (done.returncode, "license is not allowed" in done.stderr) == (2, True)
    assert hub.files == {}


def test_a_hub_that_is_out_of_reach_is_one_sentence(licensed: Path, push: Push) -> None:
    done = push(licensed, "me/Llama-chat", HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, "cannot be reached" in done.stderr) == (2, True), done.stderr


def test_an_adapter_on_a_model_that_nobody_else_has_is_refused(licensed: Path) -> None:
    (licensed / "kto" / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="take --what merged"):
        finished_model(licensed, "adapter")
