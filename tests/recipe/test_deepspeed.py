"""The DeepSpeed files that recipes name: there, and taken by the pinned DeepSpeed. They run on several GPUs only."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kto_recipes.recipe import load_recipe

ROOT = Path(__file__).parents[2]
NAMED = sorted({str(load_recipe(path).get("deepspeed")) for path in ROOT.glob("recipes/*/*.yaml")} - {"None"})
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("recipes/deepspeed/*"))


def test_every_file_is_named_by_a_recipe_and_every_name_is_a_file() -> None:
    assert NAMED == FILES != []


def settled(value: Any) -> Any:
    """`value` without the entries that Transformers fills in, which say "auto"."""
    if not isinstance(value, dict):
        return value
    return {key: settled(entry) for key, entry in value.items() if entry != "auto"}


@pytest.mark.parametrize("name", FILES)
def test_deepspeed_knows_every_key(name: str) -> None:
    from deepspeed.runtime.config import DeepSpeedConfig
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    config = settled(json.loads((ROOT / name).read_text()))
    with pytest.raises(ValidationError):
        DeepSpeedZeroConfig(**config["zero_optimization"], stgae=3)
    zero = DeepSpeedZeroConfig(**config["zero_optimization"])
    assert zero.stage == 3
    assert zero.gather_16bit_weights_on_model_save, "the run's model would be left in pieces"
    taken = DeepSpeedConfig({**config, "train_micro_batch_size_per_gpu": 4}, mpu=None)
    assert taken.bfloat16_config.enabled
    assert not taken.float16_config.enabled
