"""Traps that come with lines copied from tutorials, older versions and other trainers.

Each stops the pinned Axolotl late and with a traceback, or trains on something else than what was meant.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kto_recipes.recipe.problem import Problem

OUR_TYPE = "kto_recipes.chat_template"
# Axolotl's KTO strategies; `argilla_chat`, the only one that renders more than one user turn, is not among these.
_ONE_TURN = re.compile(r"(llama3|chatml)\.(argilla|intel|prompt_pairs|ultra)")
# LoRA's initialisations that take out of the base weights what they put into the adapter.
_MOVES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_KTO_FILE = re.compile(r"kto(\..+)?\.jsonl")


def copied_kto_traps(recipe: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with a KTO recipe's copied lines."""
    for place, entry in _entries(recipe):
        yield from _dataset_type(place, entry)
    if recipe.get("sample_packing"):
        yield Problem("sample_packing", "sample_packing does not work with KTO, which Axolotl refuses; delete it")
    if liger := _liger(recipe):
        yield Problem(
            "liger",
            f"{liger}: the fused KTO loss ignores both class weights and has no reference under LoRA; delete it",
        )
    if how := _moved_base(recipe):
        yield Problem(
            "init_lora_weights",
            f"{how} changes the base weights, which without the adapter are KTO's reference; delete it",
        )
    is_quantised = recipe.get("load_in_4bit") or recipe.get("load_in_8bit")
    if is_quantised and (recipe.get("fsdp") or recipe.get("fsdp_config")):
        yield Problem(
            "fsdp",
            "4-bit and 8-bit weights do not train with FSDP and KTO; use one GPU a process or DeepSpeed, "
            "or load the weights in bf16",
        )
    if recipe.get("chat_template") == "llama3" and not _special_token(recipe, "eos_token"):
        yield Problem(
            "eos_token",
            "set special_tokens: eos_token: <|eot_id|>; chat_template: llama3 ends a turn with it, and with a base "
            "model's own eos_token TRL appends <|end_of_text|> to every answer",
        )
    if recipe.get("remove_unused_columns") is not False:
        yield Problem("remove_unused_columns", "set remove_unused_columns: false; Axolotl refuses KTO without it")


def moves_the_base(how: Any) -> bool:
    """Whether LoRA's initialisation `how` changes the base weights, which without the adapter are KTO's reference."""
    return isinstance(how, str) and how.startswith(_MOVES_THE_BASE)


def wrong_method(recipe: dict[str, Any]) -> Iterator[Problem]:
    """Whether the recipe's method is none, or not the one its data are for."""
    if recipe.get("rl") == "kto_pair":
        yield Problem(
            "rl",
            "rl: kto_pair is gone from TRL and Axolotl; use rl: kto with one row for each answer, "
            "its label true or false",
        )
    if recipe.get("rl") is None:
        for place, entry in _entries(recipe):
            if _KTO_FILE.fullmatch(Path(str(entry.get("path"))).name):
                yield Problem(
                    "sft_data",
                    f"{place}.path {entry['path']} holds answers with labels, and this is an SFT recipe, which would "
                    "learn the undesirable ones too; name the sft.*.jsonl file, or set rl: kto",
                )


def _dataset_type(place: str, entry: dict[str, Any]) -> Iterator[Problem]:
    kind = entry.get("type")
    form = kind if isinstance(kind, dict) else entry  # tutorials write the format's keys beside `type:`, too
    is_own_format = isinstance(kind, dict) or "prompt_format" in entry
    if isinstance(kind, str) and _ONE_TURN.fullmatch(kind):
        yield Problem(
            "type",
            f"{place}.type {kind} renders one user turn and no other; set type: {OUR_TYPE}, "
            "which renders whole conversations with the model's template",
        )
    elif kind == "{prompt}" or (is_own_format and str(form.get("prompt_format") or "{prompt}").strip() == "{prompt}"):
        yield Problem(
            "type",
            f'{place}.type has the prompt_format "{{prompt}}", which applies no chat template and drops the '
            f"system prompt; set type: {OUR_TYPE} with rows of messages",
        )


def _liger(recipe: dict[str, Any]) -> str | None:
    plugins = recipe.get("plugins")
    named = [str(plugin) for plugin in plugins] if isinstance(plugins, list) else []
    keys = [key for key, value in recipe.items() if "liger" in str(key) and value]
    return next((name for name in [*named, *keys] if "liger" in name.lower()), None)


def _moved_base(recipe: dict[str, Any]) -> str | None:
    """The key whose initialisation of LoRA takes out of the base weights what it puts into the adapter."""
    how = recipe.get("peft_init_lora_weights")
    if moves_the_base(how):
        return f"peft_init_lora_weights: {how}"
    peft = recipe.get("peft")
    return "peft.loftq_config" if isinstance(peft, dict) and peft.get("loftq_config") else None


def _special_token(recipe: dict[str, Any], name: str) -> Any:
    tokens = recipe.get("special_tokens")
    return tokens.get(name) if isinstance(tokens, dict) else None


def _entries(recipe: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in ("datasets", "test_datasets"):
        entries = recipe.get(key)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield f"{key}[{index}]", entry
