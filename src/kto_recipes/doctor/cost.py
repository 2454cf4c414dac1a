"""How long training takes and what it costs, from measured speed; unknown where nothing was measured."""

from typing import Any

from kto_recipes.doctor.finding import Finding
from kto_recipes.doctor.machine import Gpu
from kto_recipes.doctor.memory import sequence_len
from kto_recipes.doctor.plan import Plan
from kto_recipes.doctor.tokens import RenderError, load_tokenizer
from kto_recipes.errors import UserError
from kto_recipes.recipe.results import Result, is_of

_MEASURE = "What is measured stands in recipes/results/<recipe>.json."


def cost_finding(plan: Plan, gpus: list[Gpu], results: list[Result]) -> Finding:
    """Hours and dollars of both stages' training: tokens × epochs / measured tokens a second.

    Loading, evaluation and merging are not counted. `results` of as many of the same GPU, with the recipe's sequence
    length and micro batch, count, those with lengths as in chats before those with the longest rows; `plan.price` is
    that of the whole machine.
    """
    seconds: dict[str, float] = {}
    for stage, recipe in plan.stages.items():
        speed = _speed(results, stage, recipe, gpus[0].name if gpus else None, plan.gpus)
        if speed is None or recipe.get("max_steps"):
            return Finding("cost", "warning", f"time and cost are unknown: {_why(stage, gpus)}", _MEASURE)
        seconds[stage] = train_tokens(plan, stage) * float(recipe.get("num_epochs") or 1) / speed
    return Finding("cost", "ok", f"training takes about {duration(sum(seconds.values()))}{_dollars(plan, seconds)}")


def _speed(results: list[Result], stage: str, recipe: dict[str, Any], gpu: str | None, gpus: int) -> float | None:
    """Tokens a second of all GPUs, where that was measured."""
    speeds = {
        result.lengths: result.tokens_per_s
        for result in results
        if (result.stage, result.gpu, result.gpus) == (stage, gpu, gpus) and is_of(result, recipe)
    }
    return speeds.get("mixed") or speeds.get("full")


def train_tokens(plan: Plan, stage: str) -> int:
    """Tokens of one epoch, rows that are longer than sequence_len left out, as Axolotl does.

    Raises:
        UserError: when the tokenizer is not on this machine, or the template does not take a row.
    """
    recipe = plan.stages[stage] | {"base_model": plan.start_model(stage)}
    tokenizer = load_tokenizer(recipe)
    if tokenizer is None:
        raise UserError(f"the tokens cannot be counted: {recipe['base_model']} has no tokenizer.json here yet")
    try:
        if stage == "sft":
            lengths = [tokenizer.conversation_tokens(row["messages"]) for row in plan.sft_rows()]
        else:
            lengths = [tokenizer.answer_tokens(row["prompt"], row["completion"]) for row in plan.kto_rows()]
    except RenderError as error:
        raise UserError(str(error)) from None
    return sum(length for length in lengths if length <= sequence_len(recipe))


def duration(seconds: float) -> str:
    """As people say it: 40 min, 1 h 20 min."""
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _why(stage: str, gpus: list[Gpu]) -> str:
    where = f"on {gpus[0].name}" if gpus else "on this machine"
    return f"{stage.upper()} with these settings was not measured {where}"


def _dollars(plan: Plan, seconds: dict[str, float]) -> str:
    if plan.price is None:
        return "; PRICE=<dollars an hour> tells the cost"
    return f" and costs about ${sum(seconds.values()) / 3600 * plan.price:.2f} at ${plan.price:.2f} an hour"
