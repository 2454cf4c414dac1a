"""Every recipe, found by glob: the pinned Axolotl takes it for the GPU it names, and it trains on a CPU.

On the CPU the model is a miniature of the same architecture with the same special tokens and template, and only
the substitutions of kto_recipes.recipe.cpu are made.
"""

import json
from pathlib import Path

import pytest
import yaml
from axolotl_server import ForkedAxolotl
from tiny_models import make_miniature

from kto_recipes.random_model import family
from kto_recipes.recipe import fill_block, load_recipe
from kto_recipes.recipe.cpu import for_cpu
from kto_recipes.rows import write_jsonl
from kto_recipes.stages.merge import merge_stage
from kto_recipes.stages.train import LOG, train_stage

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.parent for path in ROOT.glob("recipes/*/kto.yaml"))
FILES = sorted(ROOT.glob("recipes/*/*.yaml"))
STEPS = 2
SYSTEM = {"role": "system", "content": "You are Nina, chatting with Marco."}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_pinned_axolotl_accepts_the_recipe_for_a_gpu_machine(path: Path, tmp_path: Path) -> None:
    from axolotl.cli.config import prepare_plugins
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    _write_rows(tmp_path)  # without its data the plugin would refuse it
    files = {"datasets": tmp_path / f"{path.stem}.train.jsonl", "test_datasets": tmp_path / f"{path.stem}.eval.jsonl"}
    copy = tmp_path / path.name
    copy.write_text(fill_block(path.read_text(), {key: str(file) for key, file in files.items()}))
    cfg = DictDefault(yaml.safe_load(copy.read_text()))
    cfg.axolotl_config_path = str(copy)
    prepare_plugins(cfg)
    capabilities = {"bf16": True, "tf32": True, "fp8": True, "n_gpu": 1, "n_node": 1, "compute_capability": "sm_90"}
    validated = validate_config(cfg, capabilities=capabilities, env_capabilities={"torch_version": "2.12.1"})
    written = load_recipe(path)
    lost = [key for key in written if validated.get(key) is None and written[key] is not None]
    assert not lost, f"keys that Axolotl dropped: {lost}"
    for key in ("learning_rate", "micro_batch_size", "rl_beta", "sequence_len", "lora_r", "lora_alpha"):
        if key in written:
            assert validated[key] == written[key]


@pytest.fixture(scope="module")
def axolotl() -> ForkedAxolotl:
    return ForkedAxolotl()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_recipe_trains_two_real_steps_a_stage_on_a_cpu(
    recipe: Path, axolotl: ForkedAxolotl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("train", "merge"):
        monkeypatch.setattr(f"kto_recipes.stages.{stage}.start_axolotl", axolotl.start)
    monkeypatch.chdir(tmp_path)
    base = make_miniature(load_recipe(recipe / "kto.yaml"), tmp_path / "base")
    _write_rows(tmp_path)
    start = base
    has_adapter = "adapter" in load_recipe(recipe / "kto.yaml")
    if (recipe / "sft.yaml").is_file():
        sft = _short(recipe / "sft.yaml", tmp_path, base, "sft")
        train_stage(sft, lambda log: None)
        start = tmp_path / "sft"
        if has_adapter:
            merge_stage(sft)
            start = tmp_path / "sft/merged"
    train_stage(_short(recipe / "kto.yaml", tmp_path, start, "kto"), lambda log: None)
    weights = "adapter_model.safetensors" if has_adapter else "model.safetensors"
    assert [path.name for path in (tmp_path / "kto").glob("*.safetensors")] == [weights]
    history = json.loads((tmp_path / "kto/trainer_state.json").read_text())["log_history"]
    losses = [log for log in history if "loss" in log]
    assert [log["step"] for log in losses] == [1, STEPS]
    assert losses[0]["loss"] == pytest.approx(0.5, abs=1e-3)
    assert all(log["grad_norm"] > 0 for log in losses)
    assert " is not used: " not in (tmp_path / "kto" / LOG).read_text(), "the trainer leaves out what the recipe sets"
    assert _curve(tmp_path / "kto/runs", "train/loss") == [(log["step"], pytest.approx(log["loss"])) for log in losses]


def _curve(runs: Path, name: str) -> list[tuple[int, float]]:
    """Steps and values in TensorBoard's event files, which each start of a training puts in a folder of its own."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = runs.iterdir()
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars(name)]


def _short(path: Path, folder: Path, base: Path, stage: str) -> Path:
    """The recipe with its edit block for this test, the allowed substitutions, and two steps of one micro-batch."""
    recipe = load_recipe(path)
    recipe = for_cpu(recipe, biased=family(recipe) == "qwen")
    for key, split in (("datasets", "train"), ("test_datasets", "eval")):
        recipe[key] = [{**recipe[key][0], "path": str(folder / f"{stage}.{split}.jsonl")}]
    recipe |= {"base_model": str(base), "dataset_prepared_path": str(folder / "prepared" / stage)}
    recipe |= {"output_dir": str(folder / stage), "max_steps": STEPS, "gradient_accumulation_steps": 1}
    for key in ("num_epochs", "evals_per_epoch", "saves_per_epoch"):
        del recipe[key]
    recipe |= {"eval_strategy": "no", "save_steps": STEPS}
    target = folder / f"{stage}.yaml"
    target.write_text(yaml.safe_dump(recipe))
    return target


def _write_rows(folder: Path) -> None:
    meta = {"id": "a", "group": "a", "source": "telegram"}
    for split, first in (("train", 0), ("eval", 100)):
        sft, kto = [], []
        for n in range(first, first + 16):
            user = {"role": "user", "content": f"How was day {n}? Tell me more about it."}
            reply = {"role": "assistant", "content": f"day {n} was sooo good ~"}
            sft.append({"messages": [SYSTEM, user, reply], "meta": meta})
            kto.append({"prompt": [SYSTEM, user], "completion": [reply], "label": n % 2 == 0, "meta": meta})
        write_jsonl(folder / f"sft.{split}.jsonl", sft)
        write_jsonl(folder / f"kto.{split}.jsonl", kto)
