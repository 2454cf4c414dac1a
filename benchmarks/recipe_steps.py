"""One measurement: a few steps of a recipe's stage through `axolotl train`, on random weights of the real shape."""

import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import yaml
from synthetic_rows import RowMaker, row_lengths

from kto_recipes.random_model import MINIATURE, REAL, family, new_tokenizer, write_random_model
from kto_recipes.recipe import load_recipe, recipe_header
from kto_recipes.recipe.cpu import for_cpu
from kto_recipes.recipe.text import gpus_needed
from kto_recipes.stages.axolotl import refuse_failure, start_axolotl
from kto_recipes.stages.train import LOG, METRICS
from kto_recipes.templates import set_template

QUICK_LENGTH = 256
_POLL_SECONDS = 0.2
_OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory")


@dataclass(frozen=True)
class Job:
    """What is measured: a recipe's file, with rows of which lengths."""

    path: Path
    lengths: str  # full or mixed

    @property
    def stage(self) -> str:
        return self.path.stem

    @property
    def gpus(self) -> int:
        return max(1, gpus_needed(recipe_header(self.path)))


@dataclass(frozen=True)
class Machine:
    gpu: str
    gpus: int


def find_machine() -> Machine:
    """What this machine computes on."""
    import torch

    if torch.cuda.is_available():
        return Machine(torch.cuda.get_device_name(0), torch.cuda.device_count())
    return Machine("cpu", 0)


def in_another_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, so that the memory it takes on the GPU is free again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@dataclass(frozen=True)
class Bench:
    """How everything in one call is measured."""

    work: Path  # absolute, and the working directory
    machine: Machine
    steps: int
    quick: bool
    attention: str | None
    deadline: float  # by time.monotonic

    def obstacle(self, job: Job) -> str | None:
        """Why a job cannot be measured here and now."""
        if self._gpus(job) > self.machine.gpus and not self.quick:
            return f"needs {job.gpus} GPUs, here are {self.machine.gpus}"
        return "no time left" if time.monotonic() > self.deadline else None

    def measure(self, job: Job, on_step: Callable[[int], None]) -> dict[str, Any] | None:
        """The figures of one job as a results file has them, without date and command; None when time ran out.

        Raises:
            UserError: when the training failed for another reason than memory.
        """
        recipe = self._recipe(job)
        for key in ("output_dir", "dataset_prepared_path"):  # Axolotl would take the last job's rows from there
            shutil.rmtree(recipe[key], ignore_errors=True)
        rows_per_step = recipe["micro_batch_size"] * recipe["gradient_accumulation_steps"] * self._gpus(job)
        maker = self._write_rows(job, recipe, rows_per_step)
        path = self.work / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        logs, code = self._run(path, recipe, self._gpus(job), on_step)
        about = {
            "stage": job.stage,
            "lengths": job.lengths,
            "gpu": self.machine.gpu,
            "gpus": self._gpus(job),
            "torch": version("torch"),
            "axolotl": version("axolotl"),
            "attn_implementation": recipe["attn_implementation"],
            "sequence_len": recipe["sequence_len"],
            "micro_batch_size": recipe["micro_batch_size"],
            "peak_gib": logs[-1].get("peak_gib") if logs else None,
        }
        log = Path(recipe["output_dir"], LOG)
        if len(logs) < self.steps and code != 0:
            if not is_out_of_memory(log.read_text(encoding="utf-8", errors="replace")):
                refuse_failure(f"axolotl train ({job.path}, {job.lengths} rows)", code, log)
            return {**about, "tokens_per_s": None, "step_s": None, "outcome": "oom"}
        if len(logs) < 2:
            return None
        tokens = [tokens_so_far(entry, rows_per_step, maker.untrained) for entry in logs]
        return {**about, **figures(tokens, [entry["seconds"] for entry in logs]), "outcome": "ok"}

    def _gpus(self, job: Job) -> int:
        return 1 if self.quick else job.gpus

    def _recipe(self, job: Job) -> dict[str, Any]:
        """The recipe with its edit block for this measurement, and no evaluation and no checkpoint between steps."""
        recipe = load_recipe(job.path)
        base = self._base_model(recipe)
        if self.quick:
            recipe = for_cpu(recipe, biased=family(recipe) == "qwen")
            recipe |= {"sequence_len": QUICK_LENGTH, "gradient_accumulation_steps": 1}
        if self.attention:
            recipe["attn_implementation"] = self.attention
        if "deepspeed" in recipe:
            recipe["deepspeed"] = str(job.path.parents[2] / recipe["deepspeed"])
        for key in ("datasets", "test_datasets"):
            recipe[key] = [{**recipe[key][0], "path": str(self.work / f"{key}.jsonl")}]
        recipe |= {"base_model": str(base), "dataset_prepared_path": str(self.work / "prepared")}
        for key in ("num_epochs", "evals_per_epoch", "saves_per_epoch"):
            del recipe[key]
        recipe |= {"max_steps": self.steps, "eval_strategy": "no", "save_strategy": "no"}
        return recipe | {"output_dir": str(self.work / "out")}

    def _base_model(self, recipe: dict[str, Any]) -> Path:
        """The random base model, made once as long as consecutive recipes want the same; one is kept at a time."""
        folder = self.work / "models" / f"{family(recipe)}-{recipe['chat_template']}"
        if not folder.is_dir():
            shutil.rmtree(folder.parent, ignore_errors=True)
            if self.quick:
                in_another_process(write_random_model, recipe, MINIATURE, folder)
            else:
                in_another_process(write_random_model, recipe, REAL[family(recipe)], folder, "bfloat16", "cuda")
        return folder

    def _write_rows(self, job: Job, recipe: dict[str, Any], rows_per_step: int) -> RowMaker:
        tokenizer = new_tokenizer(recipe)
        set_template(tokenizer, recipe)
        maker = RowMaker(tokenizer)
        halves = job.lengths == "mixed"
        lengths = row_lengths(job.lengths, self.steps * rows_per_step, recipe["sequence_len"])
        maker.write(self.work / "datasets.jsonl", job.stage, lengths, halves=halves)
        few = row_lengths("mixed", 2 * recipe["micro_batch_size"], recipe["sequence_len"])
        maker.write(self.work / "test_datasets.jsonl", job.stage, few, halves=halves)
        return maker

    def _run(
        self, path: Path, recipe: dict[str, Any], gpus: int, on_step: Callable[[int], None]
    ) -> tuple[list[dict[str, Any]], int]:
        """The logs of the steps, and Axolotl's exit code: 0 too where it was stopped, after its last step (what it
        would save then is no part of the measurement) or out of time."""
        out = Path(recipe["output_dir"])
        out.mkdir(parents=True)
        alone = gpus == 1 and "deepspeed" not in recipe
        launcher = ["python"] if alone else ["accelerate", "--", f"--num_processes={gpus}"]
        with (out / LOG).open("wb") as log:
            process = start_axolotl(["train", str(path), "--launcher", *launcher], recipe, log)
            try:
                while process.poll() is None and not self._is_over(len(step_logs(out / METRICS)), on_step):
                    time.sleep(_POLL_SECONDS)
            finally:
                code = process.poll()
                if code is None:
                    process.terminate()
                    process.wait()
        return step_logs(out / METRICS), code or 0

    def _is_over(self, done: int, on_step: Callable[[int], None]) -> bool:
        on_step(done)
        return done >= self.steps or time.monotonic() > self.deadline


def step_logs(metrics: Path) -> list[dict[str, Any]]:
    """The logs of training steps in a metrics file; a line that is being written does not count."""
    lines = metrics.read_bytes().splitlines(keepends=True) if metrics.is_file() else []
    logs = [orjson.loads(line) for line in lines if line.endswith(b"\n")]
    return [log for log in logs if "loss" in log]


def tokens_so_far(log: dict[str, Any], rows_per_step: int, untrained: int) -> float:
    """Tokens that are no padding up to this log: TRL counts them for KTO; Axolotl counts those trained on for SFT,
    beside which each row has `untrained` ones."""
    if "num_tokens" in log:
        return log["num_tokens"]
    return log["tokens/trainable"] + untrained * rows_per_step * log["step"]


def figures(tokens: list[float], seconds: list[float]) -> dict[str, float]:
    """Tokens a second and the median time of a step, of the steps after the first, from the sums after each."""
    times = [later - earlier for earlier, later in pairwise(seconds)]
    rate = (tokens[-1] - tokens[0]) / (seconds[-1] - seconds[0])
    return {"tokens_per_s": round(rate, 1), "step_s": round(median(times), 3)}


def is_out_of_memory(log: str) -> bool:
    return _OUT_OF_MEMORY.search(log) is not None
