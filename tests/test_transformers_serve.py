"""Against a real OpenAI-compatible server: Transformers' own, on a tiny model."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_models import llama_tokenizer, random_llama, trained_tokenizer

from kto_recipes.endpoint import Request, ask
from kto_recipes.errors import UserError
from kto_recipes.generation import Reply, Sampling
from kto_recipes.settings import Endpoint

pytestmark = pytest.mark.slow  # it takes a quarter of a minute to start
STARTS_WITHIN_S = 180


@contextmanager
def transformers_serve(model: Path, log: Path) -> Iterator[Callable[..., Endpoint]]:
    """Serves the model in a folder; what is given makes the settings of an endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Beside Python, wherever that is: the command is not on PATH where tests run.
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model), "--device", "cpu"]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(log.parent / "hub")}
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=output, stderr=output, env=env)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log)
        url = f"http://127.0.0.1:{port}/v1"
        yield lambda **more: Endpoint(**{"url": url, "model": str(model), "retries": 0, "timeout_s": 60} | more)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def save(folder: Path, tokenizer: Any) -> Path:
    model = random_llama(0)
    model.generation_config.do_sample = True  # this server takes a temperature from a request, but not that it counts
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def requests(count: int, sampling: Sampling, seed: int = 5) -> list[Request]:
    return [Request([{"role": "user", "content": f"question {n}"}], sampling, seed) for n in range(count)]


def answers(endpoint: Endpoint, asked: list[Request]) -> dict[int, Reply]:
    got: dict[int, Reply] = {}
    ask(endpoint, asked, got.__setitem__)
    return got


def test_a_served_model_answers_every_request_as_it_is_asked(tmp_path: Path) -> None:
    tokenizer = trained_tokenizer()
    with transformers_serve(save(tmp_path / "model", tokenizer), tmp_path / "log") as endpoint:
        got = answers(endpoint(), requests(12, Sampling(6)))
        assert sorted(got) == list(range(12))
        assert sum(reply.cut and reply.text != "" for reply in got.values()) >= 10, "random weights seldom end a turn"
        assert len({reply.text for reply in got.values()}) > 1
        # one after another, so that the server's one random generator is at the same place
        first, again, other = (answers(endpoint(concurrency=1), requests(3, Sampling(6), seed)) for seed in (5, 5, 6))
        assert first == again != other
        with pytest.raises(UserError, match="another"):
            answers(endpoint(model="another"), requests(1, Sampling(6)))
        with pytest.raises(UserError, match="top_k"):  # which this server does not take
            answers(endpoint(), requests(1, Sampling(6, top_k=5)))


def test_a_served_base_model_without_a_template_is_one_sentence(tmp_path: Path) -> None:
    with transformers_serve(save(tmp_path / "model", llama_tokenizer()), tmp_path / "log") as endpoint:
        with pytest.raises(UserError) as caught:
            answers(endpoint(), requests(1, Sampling(6)))
        assert "fails (500)" in str(caught.value)
        assert "\n" not in str(caught.value)
    # which the sentence sends a person to
    assert "chat template" in (tmp_path / "log").read_text(errors="replace")
