"""A small recipe, a dataset of positives and a fake nvidia-smi, for the doctor's tests."""

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from kto_recipes.doctor.plan import Plan
from kto_recipes.recipe.results import Result
from kto_recipes.rows import write_jsonl

REPO = Path(__file__).parents[2]
HEADER = """\
# Goal:     a recipe for tests
# Needs:    {needs}
# Data:     none
# Run:      make kto
# Measured: not measured yet

"""
BLOCK = ("base_model", "datasets", "test_datasets", "dataset_prepared_path", "output_dir")
WEIGHTS = ("kto_desirable_weight", "kto_undesirable_weight")


class _Indented(yaml.SafeDumper):
    """Indents the entries of a list, as recipes do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def recipe_of(name: str, stage: str = "kto", **changes: Any) -> dict[str, Any]:
    """One of the repository's recipes, with changes; None takes a key out."""
    recipe = yaml.safe_load((REPO / "recipes" / name / f"{stage}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in (recipe | changes).items() if value is not None}


def write_recipe(folder: Path, stage: str, recipe: dict[str, Any], needs: str = "two CPU cores, no GPU") -> None:
    """Write `recipe` with a header and an edit block."""
    keys = [key for key in (*BLOCK, *WEIGHTS) if key in recipe]
    block = yaml.dump({key: recipe[key] for key in keys}, Dumper=_Indented, sort_keys=False)
    rest = yaml.safe_dump({key: value for key, value in recipe.items() if key not in keys}, sort_keys=False)
    folder.mkdir(parents=True, exist_ok=True)
    text = f"{HEADER.format(needs=needs)}# --- edit these lines in your copy ---\n{block}\n# --- method ---\n{rest}"
    (folder / f"{stage}.yaml").write_text(text, encoding="utf-8")


def result_of(stage: str, recipe: dict[str, Any], /, **changes: Any) -> Result:
    """A measurement of a recipe on one H200."""
    row = {
        "stage": stage,
        "lengths": "full",
        "gpu": "NVIDIA H200",
        "gpus": 1,
        "torch": "2.12.1",
        "axolotl": "0.19.0",
        "attn_implementation": "flash_attention_2",
        "sequence_len": recipe["sequence_len"],
        "micro_batch_size": recipe["micro_batch_size"],
        "peak_gib": 60.0,
        "tokens_per_s": 1000.0,
        "step_s": 1.0,
        "outcome": "ok",
        "date": "2026-11-21",
        "command": f"axolotl train outputs/run/{stage}.yaml",
    }
    return Result(**(row | changes))


def make_plan(root: Path, base_model: str, changes: dict[str, Any] | None = None, rows: int = 24, **plan: Any) -> Plan:
    """A plan in `root` with the tiny recipe on `base_model`, and rows of growing length; nothing is trained yet."""
    for stage in ("sft", "kto"):
        recipe = recipe_of("tiny-llama-lora", stage, **(changes or {}))
        write_recipe(root / "recipes/small", stage, recipe | ({"base_model": base_model} if stage == "sft" else {}))
    write_rows(root / "datasets/mine", rows)
    return Plan(Path("recipes/small"), Path("datasets/mine"), Path("outputs/run"), **plan)


def make_runnable_plan(root: Path, monkeypatch: Any) -> Plan:
    """`make_plan` with a tiny random Llama as base, on a machine without a GPU, started in `root`."""
    from tiny_models import random_llama, write_base

    monkeypatch.chdir(root)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    return make_plan(root, str(write_base(root / "base", random_llama(0))))


def write_rows(folder: Path, count: int) -> None:
    """sft.* and positives.* with `count` rows in train and 4 others in eval, the later the longer."""
    for split, numbers in (("train", range(count)), ("eval", range(count, count + 4))):
        sft, kto = [], []
        for n in numbers:
            user = {"role": "user", "content": f"{split} {n}: " + "and then " * n + "what?"}
            reply = {"role": "assistant", "content": f"answer {n} " + "well " * n}
            meta = {"id": f"{split}{n}", "group": f"{split}{n}", "source": "test"}
            sft.append({"messages": [user, reply], "meta": meta})
            kto.append({"prompt": [user], "completion": [reply], "label": True, "meta": meta})
        write_jsonl(folder / f"sft.{split}.jsonl", sft)
        write_jsonl(folder / f"positives.{split}.jsonl", kto)


def fake_nvidia_smi(folder: Path, monkeypatch: Any, says: str, code: int = 0) -> None:
    """Put a program `nvidia-smi` first on PATH that says something and ends with a code."""
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'SAYS'\n{says}\nSAYS\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
