"""What is wrong with a recipe, in sentences. Imports neither torch nor Axolotl.

Axolotl drops keys it does not know without a word, and several of its keys do nothing for KTO; each check
here stands for a trap that was seen with the pinned versions.
"""

import difflib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from kto_recipes.errors import UserError
from kto_recipes.recipe.problem import Problem
from kto_recipes.recipe.text import load_recipe
from kto_recipes.recipe.traps import copied_kto_traps, wrong_method

PLUGIN = "kto_recipes.plugin.KTOPlugin"
# What the plugin takes under `kto:`; a test holds this against its own definition, which takes seconds to import.
KTO_SETTINGS = (
    "allow",
    "auto_weights",
    "fused_logps",
    "fused_lora",
    "length_buckets",
    "log_entropy",
    "loss_type",
    "precompute_ref",
    "prefix_kl",
    "ref_cache_dir",
)
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
# What nobody can accept knowingly: Axolotl would stop at it, or drop it.
_NEVER_ACCEPTED = ("shape", "unknown_key", "rl", "data_file")


def problems(path: Path) -> list[Problem]:
    """What is wrong with the recipe at `path`, without what it allows knowingly."""
    recipe = load_recipe(path)
    allowed = allowed_checks(recipe)
    return [problem for problem in all_problems(recipe) if problem.check not in allowed]


def all_problems(recipe: dict[str, Any]) -> list[Problem]:
    """What is wrong with a recipe, with what it allows."""
    found = [*_wrong_shapes(recipe), *_unknown_keys(recipe), *wrong_method(recipe), *_lost_updates(recipe)]
    if recipe.get("rl") == "kto":
        found += [*_kto_traps(recipe), *copied_kto_traps(recipe)]
    return found


def allowed_checks(recipe: dict[str, Any]) -> list[str]:
    """The checks whose finding the recipe accepts knowingly, of those that can be accepted."""
    settings = recipe.get("kto")
    names = settings.get("allow") if isinstance(settings, dict) else None
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and name not in _NEVER_ACCEPTED]


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
        if isinstance(entries, list) and any(isinstance(entry, dict) and _has_files_alone(entry) for entry in entries):
            yield Problem(
                "shape",
                f"{key} has an entry with data_files and no path; write the file as `- path: data.jsonl` and leave "
                "data_files and ds_type out: Axolotl knows a local file by its ending",
            )
        elif not isinstance(entries, list) or not all(isinstance(entry, dict) and "path" in entry for entry in entries):
            yield Problem("shape", f"{key} must be a list of entries such as `- path: data.jsonl`")
    settings = recipe.get("kto", {})
    if not isinstance(settings, dict) or not isinstance(settings.get("allow", []), list):
        yield Problem("shape", "kto must have the form kto: {allow: [learning_rate]}")


def _has_files_alone(entry: dict[str, Any]) -> bool:
    return "path" not in entry and bool(entry.get("data_files"))


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
        if _number(recipe.get(key)) == 0 and PLUGIN not in (recipe.get("plugins") or []):
            yield Problem(key, f"{key} is 0, which Axolotl silently turns into 1.0; add the plugin, which respects it")
    if recipe.get("evals_per_epoch") and not recipe.get("test_datasets"):
        yield Problem("evals_per_epoch", "evals_per_epoch without test_datasets evaluates nothing; name some")
    yield from _reference_traps(recipe)
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


def _lost_updates(recipe: dict[str, Any]) -> Iterator[Problem]:
    """Full weights kept in bf16 alone: a step of 5e-6 is below half of the distance between two bf16 numbers for all
    weights above 0.0013, and rounding to nearest undoes it. Measured: 9 % of twenty such AdamW steps arrive."""
    keeps_float32 = recipe.get("deepspeed") or not recipe.get("bf16")
    rounds_by_chance = "bf16_stochastic_round=True" in str(recipe.get("optim_args"))
    if recipe.get("adapter") or keeps_float32 or rounds_by_chance or recipe.get("optimizer") == "optimi_adamw":
        return
    yield Problem(
        "optimizer",
        f"optimizer {recipe.get('optimizer')} on full bf16 weights loses most of each update to rounding; set "
        "optimizer: adamw_torch_8bit and optim_args: bf16_stochastic_round=True, or train with DeepSpeed, which "
        "keeps float32 copies",
    )


def _reference_traps(recipe: dict[str, Any]) -> Iterator[Problem]:
    settings = recipe.get("kto") if isinstance(recipe.get("kto"), dict) else {}
    precomputed = PLUGIN in (recipe.get("plugins") or []) and settings.get("precompute_ref", True)
    if not recipe.get("adapter") and not precomputed:
        yield Problem(
            "adapter",
            "KTO of full weights loads three models, TRL's reference among them in float32 (64 GB for 8B before "
            "gradients); let the plugin compute it once (kto: {precompute_ref: true}), set adapter: lora, or accept "
            "it with kto: {allow: [adapter]}",
        )
    if settings.get("auto_weights") and any(recipe.get(key) is not None for key in _WEIGHTS):
        yield Problem("auto_weights", "auto_weights beside explicit kto_…_weight: say one of the two")


def _number(value: Any) -> float | None:
    """`value` as Axolotl reads it: YAML takes 5e-6, which has no dot, for text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
