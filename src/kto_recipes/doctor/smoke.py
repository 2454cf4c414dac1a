"""Two real training steps with the longest rows: does it fit, does KTO start at its reference, does it learn?

Two, because the optimizer's states are made in the first and needed in the second.
"""

import io
import math
import resource
import shutil
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import yaml

from kto_recipes.doctor import hub
from kto_recipes.doctor.finding import Finding
from kto_recipes.doctor.memory import LESS, sequence_len
from kto_recipes.doctor.plan import Plan
from kto_recipes.doctor.tokens import LocalTokenizer, RenderError, least_tokens, load_tokenizer
from kto_recipes.errors import UserError
from kto_recipes.recipe import load_recipe
from kto_recipes.rows import completion_text, prompt_key, write_jsonl
from kto_recipes.stages.train import LOG, train_stage

STEPS = 2
_SCHEDULE = ("num_epochs", "evals_per_epoch", "saves_per_epoch", "eval_steps", "save_steps", "test_datasets")


def smoke_finding(plan: Plan, stage: str) -> Finding:
    """Train a stage's recipe on this machine for two steps of one micro batch, and say how it went.

    Everything is written to `plan.folder`/<stage>, which is removed when it went well.
    """
    folder = plan.folder / stage
    shutil.rmtree(folder, ignore_errors=True)
    logs: list[dict[str, Any]] = []
    try:
        with redirect_stderr(io.StringIO()):  # its warnings were findings already
            train_stage(write_short(plan, stage, folder), logs.append)
        said = judge(logs)
    except UserError as error:
        return _failed(stage, error, folder / "output" / LOG)
    shutil.rmtree(folder)
    peaks = [log["peak_gib"] for log in logs if "peak_gib" in log]
    peak = f"{max(peaks):.1f} GiB of GPU memory" if peaks else f"at most {_main_memory():.1f} GiB of main memory"
    return Finding("smoke", "ok", f"{stage.upper()}, {STEPS} steps with the longest rows: {said}; peak {peak}")


def write_short(plan: Plan, stage: str, folder: Path) -> Path:
    """Write the stage's recipe with two steps of one micro batch, no evaluation and no checkpoints, and its rows."""
    recipe = plan.stages[stage]
    count = STEPS * int(recipe.get("micro_batch_size") or 1) * plan.gpus
    rows = longest_sft(plan, count) if stage == "sft" else longest_kto(plan, count)
    write_jsonl(folder / f"{stage}.train.jsonl", rows)
    path = plan.write_filled(stage, plan.data_folder(stage) or folder)
    short = {key: value for key, value in load_recipe(path).items() if key not in _SCHEDULE}
    short["datasets"] = [short["datasets"][0] | {"path": str(folder / f"{stage}.train.jsonl")}]
    short |= {"max_steps": STEPS, "gradient_accumulation_steps": 1, "logging_steps": 1}
    short |= {"eval_strategy": "no", "save_strategy": "no"}
    if stage == "kto":  # the suggested weights are for all rows; here are as many of one class as of the other
        short |= {"kto_desirable_weight": 1.0, "kto_undesirable_weight": 1.0}
    path.write_text(yaml.safe_dump(short, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def longest_sft(plan: Plan, count: int) -> list[Any]:
    """The `count` longest conversations that Axolotl would not drop."""
    tokenizer = _tokenizer(plan, "sft")
    rows = [(_length(tokenizer, row["messages"]), row) for row in plan.sft_rows()]
    return _by_length(rows, sequence_len(plan.stages["sft"]))[:count]


def longest_kto(plan: Plan, count: int) -> list[Any]:
    """As many of the longest desirable as of the longest undesirable rows, in turns, `count` together.

    No prompt and no answer stands there twice, as long as there are enough: neighbours that share one would not be
    the mismatched pairs that KTO needs.
    """
    tokenizer = _tokenizer(plan, "kto")
    rows = [(_length(tokenizer, row["prompt"], row["completion"]), row) for row in plan.kto_rows()]
    chosen: dict[bool, list[Any]] = {True: [], False: []}
    others: dict[bool, list[Any]] = {True: [], False: []}
    seen: set[str | bytes] = set()
    for row in _by_length(rows, sequence_len(plan.stages["kto"])):
        mine = {prompt_key(row), completion_text(row)}
        is_new = not mine & seen and len(chosen[row["label"]]) < count / 2
        (chosen if is_new else others)[row["label"]].append(row)
        seen |= mine if is_new else set()
    classes = [(chosen[label] + others[label])[: math.ceil(count / 2)] for label in (True, False)]
    return [row for pair in zip(*classes, strict=False) for row in pair][:count]


def _by_length(rows: list[tuple[int, Any]], limit: int) -> list[Any]:
    """The rows of at most `limit` tokens, the longest first."""
    fitting = sorted((pair for pair in rows if pair[0] <= limit), key=lambda pair: pair[0], reverse=True)
    if not fitting:
        raise UserError(f"no row is as short as sequence_len, {limit} tokens")
    return [row for _, row in fitting]


def _length(tokenizer: LocalTokenizer | None, prompt: list[Any], completion: list[Any] | None = None) -> int:
    if tokenizer is None:
        return least_tokens([message["content"] for message in [*prompt, *(completion or [])]])
    try:
        if completion is None:
            return tokenizer.conversation_tokens(prompt)
        return tokenizer.answer_tokens(prompt, completion)
    except RenderError as error:
        raise UserError(str(error)) from None


def _tokenizer(plan: Plan, stage: str) -> LocalTokenizer | None:
    """The stage's tokenizer, downloaded where it is not here: the training downloads the whole model anyway."""
    recipe = plan.stages[stage] | {"base_model": plan.start_model(stage)}
    if load_tokenizer(recipe) is None:
        hub.download_tokenizer(recipe["base_model"])
    return load_tokenizer(recipe)


def judge(logs: list[dict[str, Any]]) -> str:
    """What the steps' logs say, when it is good.

    Args:
        logs: as `train_stage` hands them on; a value that was no number is missing there.

    Raises:
        UserError: when a loss or a gradient is no number, or there is no gradient.
    """
    steps = [log for log in logs if "learning_rate" in log]
    if len(steps) != STEPS:
        raise UserError(f"{len(steps)} steps were logged instead of {STEPS}")
    for log in steps:
        if not math.isfinite(log.get("loss", math.nan)):
            raise UserError(f"the loss of step {log['step']} is not a number")
        norm = log.get("grad_norm", math.nan)
        if not math.isfinite(norm) or norm <= 0:
            raise UserError(f"the gradient norm of step {log['step']} is {norm:g}; nothing would be learned")
    losses = " and ".join(f"{log['loss']:.3f}" for log in steps)
    return f"loss {losses}, gradient norm {steps[-1]['grad_norm']:.2g}"


def _failed(stage: str, error: UserError, log: Path) -> Finding:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if len(lines) == 1 else f"{lines[0].partition(';')[0]}: {lines[-1]}"
    advice = f"See {log}." if log.is_file() else ""
    if log.is_file() and "out of memory" in log.read_text(errors="replace").lower():
        message = "it ran out of memory with the longest rows"
        advice = f"{LESS} {advice}"
    return Finding("smoke", "error", f"{stage.upper()}: {message}", advice)


def _main_memory() -> float:
    """GiB that the largest finished child process took; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
