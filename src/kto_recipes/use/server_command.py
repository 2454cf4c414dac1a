"""Which server serves a model of a run, and its exact command."""

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from kto_recipes.errors import UserError
from kto_recipes.ports import place
from kto_recipes.use.run import FinishedRun
from kto_recipes.use.served import context_length, linked_model, local_folder

_CONTEXT = 4096  # tokens of a conversation, as in docker/compose.yaml
_TOKENIZER_AT = "/workspace/tokenizer"
_MODEL_AT = "/workspace/model"


@dataclass(frozen=True)
class Server:
    """A command, where it starts and with what in its environment, and the model's name in requests to it."""

    command: list[str]
    model: str
    folder: Path = Path()
    environment: dict[str, str] = field(default_factory=dict)

    def shell(self) -> str:
        """What a person may paste into a shell."""
        change = f"cd {shlex.quote(str(self.folder))} && " if self.folder != Path() else ""
        settings = "".join(f"{key}={shlex.quote(value)} " for key, value in self.environment.items())
        return f"{change}{settings}{shlex.join(self.command)}"


def container_engine() -> str | None:
    """`docker` or `podman` on a machine with an NVIDIA GPU; None on others."""
    if shutil.which("nvidia-smi") is None:
        return None
    return next((name for name in ("docker", "podman") if shutil.which(name)), None)


def transformers_server(run: FinishedRun, model: str, host: str, port: int) -> Server:
    """`transformers serve` of this environment; on a CPU in float32, as everything of this project computes there."""
    linked = linked_model(run, model)
    program = Path(sys.executable).with_name("transformers")
    on_cpu = [] if shutil.which("nvidia-smi") else ["--device", "cpu", "--dtype", "float32"]
    return Server(
        # The name in requests is that of the folder as it is given here.
        [str(program), "serve", model, "--host", host, "--port", str(port), *on_cpu],
        model,
        linked.parent,
        # Any client may name a model to load.
        {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    )


def vllm_server(run: FinishedRun, model: str, host: str, port: int, engine: str, image: str) -> Server:
    """vLLM in the `serve` image; the model and the run's tokenizer are mounted where it can only read them."""
    name = run.model(model)
    context = context_length(local_folder(name), _CONTEXT)
    if Path(name).is_dir():
        given, volumes = _MODEL_AT, _mounted(Path(name), _MODEL_AT)
    else:
        cache = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
        given, volumes = name, ["--volume", f"{cache}:/workspace/hf", "--env", "HF_HUB_OFFLINE=1"]
    arguments = [given, "--served-model-name", model, "--max-model-len", str(context)]
    if name != str(run.tokenizer):
        volumes += _mounted(run.tokenizer, _TOKENIZER_AT)
        arguments += ["--tokenizer", _TOKENIZER_AT, "--generation-config", _TOKENIZER_AT]
    flags = [*_engine_flags(engine), "--ipc", "host", "--publish", f"{place(host, port)}:8000"]
    return Server([engine, "run", "--rm", *flags, *volumes, image, *arguments], model)


def refuse_missing_image(engine: str, image: str) -> None:
    """Stop where the image is not on this machine: the engine would look for it on the internet.

    Raises:
        UserError: when it is not.
    """
    if subprocess.run([engine, "image", "inspect", image], capture_output=True).returncode:
        raise UserError(f"{image}: no such image on this machine; make it first (make image TARGET=serve)")


def _engine_flags(engine: str) -> list[str]:
    if engine == "podman":
        who = ["--user", "0:0"] if os.getuid() == 0 else ["--userns", "keep-id"]
        return ["--device", "nvidia.com/gpu=all", *who, "--security-opt", "label=disable"]
    return ["--gpus", "all", "--user", f"{os.getuid()}:{os.getgid()}"]


def _mounted(folder: Path, at: str) -> list[str]:
    return ["--volume", f"{folder.resolve()}:{at}:ro"]
