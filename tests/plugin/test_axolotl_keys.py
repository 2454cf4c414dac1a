"""The committed list of Axolotl's keys is what the pinned Axolotl says today."""

import json
from importlib.resources import files

import pytest

from kto_recipes.plugin.schema_keys import axolotl_keys


@pytest.fixture(scope="module")
def committed() -> dict:
    return json.loads((files("kto_recipes") / "axolotl_keys.json").read_text(encoding="utf-8"))


def test_the_committed_keys_are_current(committed: dict) -> None:
    assert committed == axolotl_keys(), "run scripts/list_axolotl_keys.py"


def test_kto_keeps_of_a_dataset_only_what_was_seen_to_arrive(committed: dict) -> None:
    """Seen by running Axolotl 0.19.0."""
    assert set(committed["kto_dataset"]) == {"path", "split", "type", "data_files", "trust_remote_code", "revision"}
    assert set(committed["kto_dataset"]) < set(committed["sft_dataset"])


def test_axolotls_own_schema_drops_a_key_outside_the_list_and_keeps_those_inside(committed: dict) -> None:
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from axolotl.utils.schemas.datasets import KTODataset

    for name in ("ds_type", "roles_to_train", "no_such_key"):
        assert name not in committed["kto_dataset"]
        assert not hasattr(KTODataset(path="x", **{name: "json"}), name)
    kept = KTODataset(path="x", split="train", revision="main").model_dump()
    assert (kept["path"], kept["split"], kept["revision"]) == ("x", "train", "main")
    assert "kto_desireable_weight" not in committed["top"]
    assert {"kto_desirable_weight", "rl_beta", "micro_batch_size"} <= set(committed["top"])
    assert {"kto_desirable_weight", "rl_beta", "micro_batch_size"} <= set(AxolotlInputConfig.model_fields)
