"""Access to the base model, asked of a small server that answers as the Hub does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_server import in_a_thread
from safetensors.numpy import save_file
from small_hub import TOKEN, Hub, hub_environment

from kto_recipes.doctor import hub
from kto_recipes.doctor.access import access_finding, refuse_no_access
from kto_recipes.doctor.finding import Finding
from kto_recipes.errors import UserError

LLAMA = "meta-llama/Llama-3.1-8B"
OPEN = "Qwen/Qwen2.5-3B-Instruct"
PROGRAM = (
    "import json, sys; from dataclasses import asdict; from kto_recipes.doctor.access import access_finding;"
    "print(json.dumps(asdict(access_finding(sys.argv[1]))))"
)


@pytest.fixture
def server() -> Iterator[Hub]:
    with in_a_thread(Hub()) as server:
        yield server


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """ask(model, server, token): the finding of a process that knows that server as the Hub, with an empty cache."""

    def run(model: str, server: Hub | None, token: str | None = None, **env: str) -> Finding:
        environment = hub_environment(tmp_path, server, token) | env
        command = [sys.executable, "-c", PROGRAM, model]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
        assert TOKEN not in done.stdout + done.stderr
        return Finding(**json.loads(done.stdout.splitlines()[-1]))

    return run


def test_a_gated_model_without_a_token_is_an_error_that_says_where_to_ask(ask: Any, server: Hub) -> None:
    finding = ask(LLAMA, server)
    assert finding.status == "error"
    assert f"https://huggingface.co/{LLAMA}" in finding.advice
    assert "export HF_TOKEN=" in finding.advice
    assert server.asked == []  # known without asking


def test_a_token_with_access_is_ok_and_was_sent_to_the_hub(ask: Any, server: Hub) -> None:
    assert ask(LLAMA, server, TOKEN).status == "ok"
    assert server.asked == [(f"/{LLAMA}/resolve/main/config.json", f"Bearer {TOKEN}")]


def test_a_token_without_access_is_an_error(ask: Any, server: Hub) -> None:
    server.status, server.error = 403, "GatedRepo"
    finding = ask(LLAMA, server, TOKEN)
    assert finding.status == "error"
    assert "HF_TOKEN has no access" in finding.message
    assert f"https://huggingface.co/{LLAMA}" in finding.advice


def test_a_gated_model_that_is_not_known_as_such_is_found_out_by_asking(ask: Any, server: Hub) -> None:
    server.status, server.error = 401, "GatedRepo"
    finding = ask(OPEN, server)
    assert (finding.status, "HF_TOKEN is not set" in finding.message) == ("error", True)


def test_an_open_model_needs_no_token(ask: Any, server: Hub) -> None:
    assert ask(OPEN, server).status == "ok"
    assert server.asked == [(f"/{OPEN}/resolve/main/config.json", None)]


def test_a_model_that_the_hub_does_not_show_is_an_error(ask: Any, server: Hub) -> None:
    server.status, server.error = 404, "RepoNotFound"
    finding = ask("Qwen/Qwen2.5-3B-Instrukt", server)
    assert (finding.status, "shows no model" in finding.message) == ("error", True)


def test_a_hub_that_is_out_of_order_or_out_of_reach_is_a_warning(ask: Any, server: Hub) -> None:
    server.status = 500
    assert ask(OPEN, server).status == "warning"
    assert ask(OPEN, None).status == "warning"
    finding = ask(LLAMA, server, TOKEN, HF_HUB_OFFLINE="1")
    assert (finding.status, "could not be checked" in finding.message) == ("warning", True)


def test_a_local_folder_is_ok_and_a_missing_one_an_error(tmp_path: Path) -> None:
    assert access_finding(str(tmp_path)).status == "ok"
    finding = access_finding(str(tmp_path / "absent"))
    assert (finding.status, "no such folder" in finding.message) == ("error", True)
    assert access_finding("outputs/models/absent-model").status == "error"


def test_a_training_stops_at_what_the_doctor_would_have_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kto_recipes.doctor.hub.access_to", lambda model: hub.Access.GATED)
    monkeypatch.setattr("kto_recipes.doctor.hub.has_token", lambda: True)
    with pytest.raises(UserError, match=r"the account of HF_TOKEN has no access to it\. Ask for access at https"):
        refuse_no_access(LLAMA)
    refuse_no_access("outputs/not/made/yet")  # the stage itself says what is missing there


# --- the cache ----------------------------------------------------------------------------------------------


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model's files in an otherwise empty Hub cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--meta-llama--Llama-3.1-8B"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("abc")
    (folder / "snapshots/abc").mkdir(parents=True)
    return folder / "snapshots/abc"


def test_a_cached_model_needs_neither_token_nor_hub(snapshot: Path) -> None:
    save_file({"weight": np.zeros(1000)}, snapshot / "model.safetensors")
    assert access_finding(LLAMA).status == "ok"


@pytest.mark.parametrize("size", [0, 5, 8050])
def test_a_file_cut_short_in_the_cache_is_an_error_that_names_it(snapshot: Path, size: int) -> None:
    blob = snapshot.parents[1] / "blobs/0123"
    blob.parent.mkdir()
    save_file({"weight": np.zeros(1000)}, blob)
    with blob.open("r+b") as file:
        file.truncate(size)
    (snapshot / "model.safetensors").symlink_to(blob)
    finding = access_finding(LLAMA)
    assert finding.status == "error"
    assert f"cut short in the Hub's cache, at {size:,} bytes; delete {blob.resolve()}" in finding.message


def test_an_index_cut_short_is_one_too(snapshot: Path) -> None:
    (snapshot / "model.safetensors.index.json").write_text('{"weight_map": {"a": "mod')
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json is cut short"):
        hub.refuse_torn_download(LLAMA)


def test_a_model_in_shards_is_cached_when_all_are_there(snapshot: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model-1.safetensors").touch()
    assert not hub.is_cached(LLAMA)
    (snapshot / "model-2.safetensors").touch()
    assert hub.is_cached(LLAMA)


def test_a_kernels_build_is_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELS_CACHE", str(tmp_path))
    assert not hub.kernel_is_cached()
    (tmp_path / "kernels--kernels-community--flash-attn2/snapshots/abc/build/torch212-cu130").mkdir(parents=True)
    assert hub.kernel_is_cached()
