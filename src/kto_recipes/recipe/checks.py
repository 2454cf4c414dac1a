"""What is wrong with a recipe, in sentences. Imports neither torch nor Axolotl.

Axolotl drops keys it does not know without a word, and several of its keys do nothing for KTO; each check
here stands for a trap that was seen with the pinned versions.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from kto_recipes.errors import UserError
from kto_recipes.recipe.text import load_recipe

PLUGIN = "kto_recipes.plugin.KTOPlugin"
KTO_SETTINGS = ("allow",)
# Keys that Axolotl takes and that do nothing for KTO, or not what they say.
_IDLE_FOR_KTO = {
    "lora_model_dir": "is silently ignored for rl: kto, which would train from the raw base; merge the SFT adapter "
    "and name the merged folder as base_model",
    "precompute_ref_log_probs": "is read for DPO alone and does nothing for KTO; delete it",
    "dpo_padding_free": "does nothing for KTO; delete it",
    "group_by_length": "does nothing for KTO; delete it",
    "val_set_size": "splits rows, not prompts, so that answers to one prompt land on both sides; name a held-out file "
    "under test_datasets",
}
_WEIGHTS = ("kto_desirable_weight", "kto_undesirable_weight")


@dataclass(frozen=True)
class Problem:
    """`check` is the name by which `kto: {allow: [...]}` accepts a trap; a wrong shape or an unknown key cannot be."""

    check: str
    message: str


def problems(path: Path) -> list[Problem]:
    """What is wrong with the recipe at `path`, without what it allows knowingly."""
    recipe = load_recipe(path)
    found = [*_wrong_shapes(recipe), *_unknown_keys(recipe)]
    if recipe.get("rl") == "kto":
        settings = recipe.get("kto")
        allowed = (settings.get("allow") if isinstance(settings, dict) else None) or []
        found += [problem for problem in _kto_traps(recipe) if problem.check not in allowed]
    return found


def refuse_problems(path: Path) -> None:
    """Stop with a sentence when something is wrong with the recipe at `path`.

    Raises:
        UserError: with one line for each problem.
    """
    found = problems(path)
    if found:
        raise UserError("\n       ".join(f"{path}: {problem.message}" for problem in found))


def _wrong_shapes(recipe: dict[str, Any]) -> Iterator[Problem]:
    for key in ("datasets", "test_datasets"):
        entries = recipe.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "path" in entry for entry in entries):
            yield Problem("shape", f"{key} must be a list of entries such as `- path: data.jsonl`")
    settings = recipe.get("kto", {})
    if not isinstance(settings, dict) or not isinstance(settings.get("allow", []), list):
        yield Problem("shape", "kto must have the form kto: {allow: [learning_rate]}")


def _unknown_keys(recipe: dict[str, Any]) -> Iterator[Problem]:
    known = _axolotl_keys()
    has_plugin = PLUGIN in (recipe.get("plugins") or [])
    top = [*known["top"], "kto"] if has_plugin else known["top"]
    yield from _not_in(recipe, top, "")
    for key, names in known["nested"].items():
        for entry in _entries(recipe.get(key)):
            yield from _not_in(entry, names, f"{key}.")
    if has_plugin:
        yield from _not_in(recipe.get("kto"), KTO_SETTINGS, "kto.")
    kind = "kto_dataset" if recipe.get("rl") == "kto" else "sft_dataset"
    for key in ("datasets", "test_datasets"):
        for index, entry in enumerate(_entries(recipe.get(key))):
            yield from _not_in(entry, known[kind], f"{key}[{index}].")


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _not_in(mapping: Any, names: list[str] | tuple[str, ...], place: str) -> Iterator[Problem]:
    if not isinstance(mapping, dict):
        return
    for key in mapping:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; delete it"
            yield Problem("unknown_key", f"Axolotl does not know {place}{key} and would drop it without a word{hint}")


@cache
def _axolotl_keys() -> dict[str, Any]:
    return orjson.loads((files("kto_recipes") / "axolotl_keys.json").read_bytes())


def _kto_traps(recipe: dict[str, Any]) -> Iterator[Problem]:
    if (_number(recipe.get("micro_batch_size")) or 1) < 2:
        yield Problem(
            "micro_batch_size",
            "micro_batch_size is 1: the reference point z0 comes from mismatched pairs inside a micro-batch, "
            "which needs 2 rows, better 4 or more",
        )
    if recipe.get("dataset_num_proc") != 1:
        yield Problem("dataset_num_proc", "set dataset_num_proc: 1; with more, TRL's mismatched pairs are wrong")
    if recipe.get("shuffle_merged_datasets") is not False:
        yield Problem(
            "shuffle_merged_datasets",
            "set shuffle_merged_datasets: false; Axolotl's default undoes the order the prepared file was given",
        )
    if recipe.get("test_datasets") and recipe.get("eval_batch_size") != recipe.get("micro_batch_size"):
        yield Problem(
            "eval_batch_size",
            "set eval_batch_size to the value of micro_batch_size; otherwise the eval set's mismatched pairs are wrong",
        )
    for key, why in _IDLE_FOR_KTO.items():
        if recipe.get(key):
            yield Problem(key, f"{key} {why}")
    for key in _WEIGHTS:
        if _number(recipe.get(key)) == 0:
            yield Problem(key, f"{key} is 0, which Axolotl silently turns into 1.0; leave that class out of the data")
    if recipe.get("evals_per_epoch") and not recipe.get("test_datasets"):
        yield Problem("evals_per_epoch", "evals_per_epoch without test_datasets evaluates nothing; name some")
    if not recipe.get("adapter"):
        yield Problem(
            "adapter",
            "KTO of full weights loads three models, TRL's reference among them in float32 (64 GB for 8B before "
            "gradients); set adapter: lora, or accept it with kto: {allow: [adapter]}",
        )
    if (Path(str(recipe.get("base_model"))) / "adapter_config.json").is_file():
        yield Problem(
            "base_model",
            f"base_model {recipe['base_model']} is an adapter folder; merge it first and name the merged folder",
        )
    rate = _number(recipe.get("learning_rate"))
    if rate is not None and not 5e-7 <= rate <= 2e-5:
        yield Problem(
            "learning_rate",
            f"learning_rate {rate:g} is outside 5e-7 … 2e-5, where KTO of a 3B to 8B model learns without collapse; "
            "to insist, write kto: {allow: [learning_rate]}",
        )


def _number(value: Any) -> float | None:
    """`value` as Axolotl reads it: YAML takes 5e-6, which has no dot, for text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
