"""How a recipe's `kto:` settings, weights and loss reach the fast trainer through Axolotl."""

from pathlib import Path
from typing import Any

import axolotl.train
import pytest
import yaml
from axolotl.core.trainers import AxolotlKTOTrainer
from axolotl.core.training_args import AxolotlKTOConfig
from axolotl.utils.dict import DictDefault
from axolotl.utils.import_helper import get_cls_from_module_str
from datasets import Dataset
from pydantic import ValidationError
from tiny_models import loaded_llama

from kto_recipes.plugin import KTOPlugin
from kto_recipes.plugin.args import KTOSettings
from kto_recipes.plugin.trainer import AxolotlFastKTOTrainer
from kto_recipes.trainer import TrainerSettings
from kto_recipes.trainer.fast import FastKTO

OURS = "kto_recipes.plugin.trainer.AxolotlFastKTOTrainer"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin changes Axolotl and a class of its own: both are as they were after each test."""
    monkeypatch.setattr(axolotl.train, "setup_reference_model", axolotl.train.setup_reference_model)
    monkeypatch.setattr(AxolotlFastKTOTrainer, "settings", TrainerSettings())


def config(**keys: Any) -> DictDefault:
    return DictDefault({"rl": "kto", **keys})


# --- settings -----------------------------------------------------------------------------------------------


def test_the_defaults_are_the_documented_ones() -> None:
    assert KTOSettings().model_dump() == {
        "precompute_ref": True,
        "ref_cache_dir": Path("outputs/ref-cache"),
        "length_buckets": True,
        "fused_logps": True,
        "fused_lora": True,
        "prefix_kl": False,
        "auto_weights": False,
        "loss_type": "kto",
        "log_entropy": False,
        "allow": [],
    }


def test_the_trainer_is_told_what_concerns_it_and_nothing_else() -> None:
    said = {"precompute_ref": False, "ref_cache_dir": "elsewhere", "length_buckets": False, "log_entropy": True}
    settings = KTOSettings(**said, loss_type="apo_zero_unpaired", allow=["learning_rate"]).for_trainer()
    assert type(settings) is TrainerSettings
    assert settings == TrainerSettings(**said)
    assert settings != TrainerSettings()


@pytest.mark.parametrize("said", [{"loss_type": "bco"}, {"precompute_ref": "perhaps"}, {"fused_logp": True}])
def test_settings_that_mean_nothing_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KTOSettings(**said)


# --- what Axolotl's trainer is made of ----------------------------------------------------------------------


def test_weights_of_0_and_the_loss_are_passed_on() -> None:
    """Axolotl itself takes a weight of 0 for 1 and knows no loss."""
    cfg = config(kto_desirable_weight=0.0, kto_undesirable_weight=1.25, kto={"loss_type": "apo_zero_unpaired"})
    found = KTOPlugin().get_training_args(cfg)
    assert found == {"loss_type": "apo_zero_unpaired", "desirable_weight": 0.0, "undesirable_weight": 1.25}


def test_weights_that_the_recipe_leaves_out_are_left_to_axolotl() -> None:
    assert KTOPlugin().get_training_args(config()) == {"loss_type": "kto"}
    assert KTOPlugin().get_training_args(config(kto_undesirable_weight=2.0)) == {
        "loss_type": "kto",
        "undesirable_weight": 2.0,
    }


def test_other_methods_get_nothing_and_change_nothing() -> None:
    assert KTOPlugin().get_training_args(DictDefault({"kto": {"precompute_ref": False}})) == {}
    assert KTOPlugin().get_training_args(config(rl="dpo", kto_desirable_weight=2.0)) == {}
    assert AxolotlFastKTOTrainer.settings == TrainerSettings()


def test_the_trainer_that_axolotl_makes_has_the_recipes_settings(tmp_path: Path) -> None:
    """Axolotl hands its trainer no settings: they wait on the class. Their file shows that they arrived."""
    cache = tmp_path / "cache"
    cfg = config(kto={"ref_cache_dir": str(cache), "log_entropy": True}, kto_desirable_weight=0.0)
    arguments = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "report_to": "none", "max_steps": 1}
    arguments |= {"per_device_train_batch_size": 2, "logging_steps": 1, "remove_unused_columns": False}
    arguments |= {"desirable_weight": 1.0, "undesirable_weight": 1.0, "save_strategy": "no", "disable_tqdm": True}
    arguments |= KTOPlugin().get_training_args(cfg)
    llama = loaded_llama(seed=0)
    trainer = AxolotlFastKTOTrainer(
        llama.model,
        args=AxolotlKTOConfig(**arguments),
        train_dataset=rows(),
        processing_class=llama.tokenizer,
    )
    assert len(list(cache.iterdir())) == 1
    assert (trainer.desirable_weight, trainer.undesirable_weight) == (0.0, 1.0)
    trainer.train()
    (log,) = [log for log in trainer.state.log_history if "loss" in log]
    assert "entropy" in log
    assert log["loss"] == pytest.approx(0.25, abs=1e-4), "half the mean weight of one row of each class"


def rows() -> Dataset:
    return Dataset.from_list(
        [{"prompt": f"How was day {n}?", "completion": f" day {n} was good", "label": n % 2 == 0} for n in range(4)]
    )


# --- what register changes ----------------------------------------------------------------------------------


@pytest.fixture
def other_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that leaves the check of the recipe to the first one."""
    monkeypatch.setenv("RANK", "1")


def registered(**keys: Any) -> dict[str, Any]:
    cfg = {"axolotl_config_path": "x.yaml", **keys}
    KTOPlugin().register(cfg)
    return cfg


def test_kto_is_trained_with_our_trainer_which_is_axolotls_own_made_faster(other_rank: None) -> None:
    cfg = registered(rl="kto")
    assert cfg["trainer_cls"] == OURS
    found = get_cls_from_module_str(cfg["trainer_cls"])
    assert found is AxolotlFastKTOTrainer
    assert issubclass(found, FastKTO)
    assert issubclass(found, AxolotlKTOTrainer)


def test_no_second_model_is_loaded_as_reference_beside_full_weights(other_rank: None) -> None:
    """Axolotl would load one, and never hand it to KTO; here it would find no model of that name."""
    cfg = config(base_model="no/such-model")
    registered(rl="kto")
    assert axolotl.train.setup_reference_model(cfg, None, None) is None


def test_a_trainer_that_the_recipe_names_is_kept(other_rank: None) -> None:
    assert registered(rl="kto", trainer_cls="mine.Trainer")["trainer_cls"] == "mine.Trainer"


@pytest.mark.parametrize("rl", [None, "dpo"])
def test_other_methods_keep_their_trainer_and_their_reference(other_rank: None, rl: str | None) -> None:
    before = axolotl.train.setup_reference_model
    assert "trainer_cls" not in registered(rl=rl)
    assert axolotl.train.setup_reference_model is before


def test_automatic_weights_beside_explicit_ones_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    recipe = {
        "base_model": "x",
        "plugins": ["kto_recipes.plugin.KTOPlugin"],
        "rl": "kto",
        "kto": {"auto_weights": True},
        "kto_desirable_weight": 2.0,
    }
    path = tmp_path / "kto.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(SystemExit) as stopped:
        KTOPlugin().register({"axolotl_config_path": str(path), "rl": "kto"})
    assert stopped.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "auto_weights" in line]
    assert len(said) == 1
    assert "auto_weights beside explicit kto_…_weight" in said[0]
