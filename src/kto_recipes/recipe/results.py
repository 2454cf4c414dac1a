"""What a recipe costs on a GPU, as measured: recipes/results/<recipe>.json, written by benchmarks/recipes_gpu.py."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from kto_recipes.errors import UserError
from kto_recipes.files import read_json, write_json

NOT_MEASURED = "not measured yet"
# What tells one measurement from another; measured again, it takes the place of the old one.
_SAME = ("gpu", "gpus", "stage", "lengths", "sequence_len", "micro_batch_size", "attn_implementation")


class Result(BaseModel):
    """One stage of a recipe on one kind of GPU. Out of memory is a result, too."""

    model_config = ConfigDict(extra="forbid")

    stage: Literal["sft", "kto"]
    lengths: Literal["full", "mixed"]  # every row as long as sequence_len allows, or as chats are
    gpu: str
    gpus: int
    torch: str
    axolotl: str
    attn_implementation: str
    sequence_len: int
    micro_batch_size: int
    peak_gib: float | None  # the most that PyTorch had allocated on the first GPU; None where there is none
    tokens_per_s: float | None  # tokens that are no padding, of all GPUs, in the steps after the first
    step_s: float | None  # the median of the steps after the first; a step is one update of the weights
    outcome: Literal["ok", "oom"]
    date: str
    command: str

    @model_validator(mode="after")
    def _has_its_figures(self) -> Self:
        if self.outcome == "ok" and (self.tokens_per_s is None or self.step_s is None):
            raise ValueError("outcome ok needs tokens_per_s and step_s")
        return self


_RESULTS = TypeAdapter(list[Result])


def results_file(recipes: Path, name: str) -> Path:
    return recipes / "results" / f"{name}.json"


def measured_line(recipes: Path, name: str) -> str:
    """What the header of a recipe has to say under Measured."""
    return f"see recipes/results/{name}.json" if results_file(recipes, name).is_file() else NOT_MEASURED


def read_results(path: Path) -> list[Result]:
    """The measurements in a results file.

    Raises:
        UserError: when it does not hold such a list.
    """
    try:
        return _RESULTS.validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}") from None


def add_result(path: Path, new: Result) -> None:
    """Put `new` into the results file, in place of an older measurement of the same."""
    old = read_results(path) if path.is_file() else []
    kept = [result for result in old if any(getattr(result, key) != getattr(new, key) for key in _SAME)]
    write_json(path, [result.model_dump() for result in [*kept, new]])


def summary(results: list[Result], stages: dict[str, dict[str, Any]]) -> str:
    """The README's cell: per GPU the peak, KTO's speed, and what ran out of memory.

    `stages` are the recipe's files by stage; measurements of other settings than theirs do not count.
    """
    current = [result for result in results if is_of(result, stages.get(result.stage))]
    if not current:
        return "not measured with these settings"
    machines = dict.fromkeys((result.gpus, result.gpu) for result in current)
    return "; ".join(_machine(gpus, gpu, current) for gpus, gpu in machines)


def is_of(result: Result, recipe: dict[str, Any] | None) -> bool:
    """Whether it was measured with the sequence length and micro batch of `recipe`."""
    keys = ("sequence_len", "micro_batch_size")
    return recipe is not None and all(getattr(result, key) == recipe.get(key) for key in keys)


def _machine(gpus: int, gpu: str, results: list[Result]) -> str:
    here = [result for result in results if (result.gpus, result.gpu) == (gpus, gpu)]
    ok = [result for result in here if result.outcome == "ok"]
    said = []
    peaks = [result.peak_gib for result in ok if result.peak_gib is not None]
    if peaks:
        said.append(f"{max(peaks):.1f} GiB")
    speeds = {result.lengths: result.tokens_per_s for result in ok if result.stage == "kto"}
    if speeds:
        said.append(f"{speeds.get('mixed', speeds.get('full')):,.0f} tokens/s at KTO")
    failed = dict.fromkeys(f"{r.stage.upper()}, {r.lengths} rows" for r in here if r.outcome == "oom")
    said += [f"out of memory at {what}" for what in failed]
    return f"{f'{gpus} × ' if gpus > 1 else ''}{gpu}: {', '.join(said)}"
