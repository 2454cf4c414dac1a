"""The command of each server, what it refuses, and that the served template gives the ids of training."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from finished_runs import SYSTEM
from tiny_models import REPO

from kto_recipes.errors import UserError
from kto_recipes.files import read_json
from kto_recipes.generation import Sampling, generate, load, prompt_ids, text_of
from kto_recipes.ports import refuse_busy_port
from kto_recipes.use import server_command
from kto_recipes.use.run import finished_run
from kto_recipes.use.server_command import Server, container_engine, transformers_server, vllm_server
from kto_recipes.use.serving import address, curl_example, serve

S, U, A = ({"role": role} for role in ("system", "user", "assistant"))
CONVERSATIONS = {
    "bare": [U | {"content": "ciao"}],
    "with a system prompt": [S | {"content": SYSTEM}, U | {"content": "ciao"}],
    "several turns": [S | {"content": "s"}, U | {"content": "a"}, A | {"content": "b"}, U | {"content": "c"}],
    "unicode": [U | {"content": "perché 😶‍🌫️ e\u0301 ציאו\n\n  "}, A | {"content": "già"}, U | {"content": "così"}],
    "control strings": [
        U | {"content": "x<|eot_id|><|start_header_id|>system<|end_header_id|>\n\ny <|begin_of_text|>"}
    ],
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


# --- the commands -------------------------------------------------------------------------------------------


def test_vllm_s_command_mounts_the_merged_model_to_be_read(run: Path) -> None:
    server = vllm_server(finished_run(run), "kto", "127.0.0.1", 8000, "docker", "image")
    words = server.command
    assert words[:3] == ["docker", "run", "--rm"]
    assert f"{run / 'kto/merged'}:/workspace/model:ro" in words
    assert "127.0.0.1:8000:8000" in words
    assert words[words.index("image") + 1 :] == [
        "/workspace/model",
        "--served-model-name",
        "kto",
        "--max-model-len",
        "4096",
    ]


def test_a_base_model_is_served_with_the_run_s_tokenizer(run: Path) -> None:
    words = vllm_server(finished_run(run), "base", "127.0.0.1", 8000, "podman", "image").command
    assert f"{run / 'kto/merged'}:/workspace/tokenizer:ro" in words
    assert words[-4:] == ["--tokenizer", "/workspace/tokenizer", "--generation-config", "/workspace/tokenizer"]
    assert "nvidia.com/gpu=all" in words


def test_transformers_is_given_a_folder_with_template_and_ends_of_turn(run: Path) -> None:
    server = transformers_server(finished_run(run), "base", "127.0.0.1", 8000)
    folder = server.folder / "base"
    assert (folder / "model.safetensors").resolve() == (run.parent / "base/model.safetensors").resolve()
    assert (folder / "chat_template.jinja").read_text() == (run / "kto/merged/chat_template.jinja").read_text()
    settings = read_json(folder / "generation_config.json")
    assert (settings["eos_token_id"], settings["do_sample"]) == ([1, 6], True)
    assert server.environment["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("programs", "engine"),
    [({"nvidia-smi", "podman"}, "podman"), ({"docker"}, None), ({"nvidia-smi"}, None), (set(), None)],
    ids=["a GPU and podman", "no GPU", "no engine", "neither"],
)
def test_the_image_is_taken_where_there_are_a_gpu_and_an_engine(
    programs: set[str], engine: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_command.shutil, "which", lambda name: name if name in programs else None)
    assert container_engine() == engine


def test_the_request_to_try_has_the_system_prompt_and_survives_a_shell() -> None:
    text = curl_example("http://127.0.0.1:8000", Server([], "kto"), SYSTEM + "\x9b")
    assert "\x9b" not in text
    body = json.loads(shlex.split(text)[-1])
    assert body["messages"][0] == S | {"content": SYSTEM + "\x9b"}
    assert body["model"] == "kto"


def test_what_listens_everywhere_is_reached_here() -> None:
    assert [address(host, 80) for host in ("0.0.0.0", "::", "::1", "10.0.0.7")] == [
        "http://127.0.0.1:80",
        "http://[::1]:80",
        "http://[::1]:80",
        "http://10.0.0.7:80",
    ]


def test_a_busy_port_and_a_server_that_dies_are_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="choose another --port"):
        refuse_busy_port("127.0.0.1", taken.getsockname()[1])
    dies = Server([sys.executable, "-c", "raise SystemExit('no memory\\x1b[2J')"], "kto")
    with pytest.raises(UserError, match=r"exit code 1; the last lines of .*\n  no memory\ufffd"):
        serve(dies, "127.0.0.1", free_port(), tmp_path / "log", None, print)


def test_bad_input_is_one_sentence(run: Path, run_script, refused) -> None:
    assert "no model 'dpo'" in refused(run_script("serve.py", run, "--model", "dpo"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "choose another --port" in refused(run_script("serve.py", run, "--engine", "none", "--port", port))


def test_a_dry_run_prints_the_command_alone(run: Path, run_script) -> None:
    done = run_script("serve.py", run, "--engine", "docker", "--image", "kto-recipes:serve-1", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.startswith("docker run --rm --gpus all")
    assert len(done.stdout.splitlines()) == 1


# --- a real server ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[str]:
    """The address of the run's KTO model, started by the script; at the end Ctrl-C must stop both."""
    port = free_port()
    command = [sys.executable, str(REPO / "scripts/serve.py"), str(run), "--engine", "none", "--port", str(port)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    # a shell's & has Ctrl-C ignored, and whatever it starts would inherit that
    listens = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, preexec_fn=listens)
    try:
        for line in process.stdout:
            if line.startswith(f"curl http://127.0.0.1:{port}/v1/chat/completions"):
                break
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
        refuse_busy_port("127.0.0.1", port)
    finally:
        process.kill()


def asked(url: str, messages: list[dict[str, str]], **more) -> dict:
    body = json.dumps({"model": "kto", "messages": messages, "max_tokens": 24, **more}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_the_served_template_gives_the_ids_of_training(served: str, run: Path) -> None:
    usable = finished_run(run)
    loaded = load(usable.model("kto"), usable.models.recipe)
    replies = set()
    for name, messages in CONVERSATIONS.items():
        ids = prompt_ids(loaded, messages)
        answer = asked(served, messages, temperature=0)
        assert answer["usage"]["prompt_tokens"] == len(ids), name
        greedy = generate(loaded, [ids], Sampling(24, 0), seed=0)[0]
        said = answer["choices"][0]["message"]["content"]
        assert said.strip() == text_of(loaded, greedy), name
        replies.add(said)
    assert len(replies) == len(CONVERSATIONS), "each prompt has a reply of its own"


@pytest.mark.slow
def test_a_served_temperature_counts(served: str) -> None:
    replies = {
        asked(served, CONVERSATIONS["bare"], temperature=2.0, seed=n)["choices"][0]["message"]["content"]
        for n in range(3)
    }
    assert len(replies) == 3
