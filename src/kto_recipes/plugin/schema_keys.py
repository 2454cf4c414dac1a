"""The keys that the pinned Axolotl knows, from its own schema. Imports Axolotl, which takes seconds;
`axolotl_keys.json` beside this holds the result for whoever has no seconds."""

import typing
from typing import Any

from pydantic import BaseModel

_FILLED_IN_BY_AXOLOTL = ("capabilities", "env_capabilities")


def axolotl_keys() -> dict[str, Any]:
    """{"top": keys of a recipe, "nested": {key: its keys}, "sft_dataset": …, "kto_dataset": …}, sorted.

    `nested` has only keys whose models ignore what they do not know; KTO keeps fewer of a dataset's keys
    than SFT and drops the rest without a word.
    """
    from axolotl.utils.schemas.config import AxolotlConfigWCapabilities
    from axolotl.utils.schemas.datasets import KTODataset, SFTDataset

    fields = AxolotlConfigWCapabilities.model_fields
    names = {name for name, field in fields.items()} | {field.alias for field in fields.values() if field.alias}
    nested = {}
    for name, field in fields.items():
        models = [model for model in _models(field.annotation) if model.model_config.get("extra") != "allow"]
        if models and name not in (
            "datasets",
            "test_datasets",
            "pretraining_dataset",
            *_FILLED_IN_BY_AXOLOTL,
        ):
            nested[name] = sorted({key for model in models for key in model.model_fields})
    return {
        "top": sorted(names - set(_FILLED_IN_BY_AXOLOTL)),
        "nested": dict(sorted(nested.items())),
        "sft_dataset": sorted(SFTDataset.model_fields),
        "kto_dataset": sorted(KTODataset.model_fields),
    }


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]
