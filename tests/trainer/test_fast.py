"""The fast trainer computes what TRL's does: loss, reference point, rewards and gradients of the same batches."""

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from small_trainers import (
    WEIGHTS,
    as_train_would,
    checkpointed,
    compare,
    new_ours,
    new_stock,
    small_lora,
    small_model,
    small_tokenizer,
    step,
    text_rows,
)
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MptConfig,
    MptForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from kto_recipes.trainer import scoring
from kto_recipes.trainer.scoring import score, score_both

EVERY_SETTING = {
    "all": {},
    "live reference": {"precompute_ref": False},
    "stock head": {"fused_logps": False},
    "file order": {"length_buckets": False},
    "prompts once": {"prefix_kl": True},
    "prompts once, live reference": {"prefix_kl": True, "precompute_ref": False},
    "peft's layers": {"fused_lora": False},
    "nothing": {"precompute_ref": False, "fused_logps": False, "length_buckets": False, "fused_lora": False},
}
APO = {"loss_type": "apo_zero_unpaired"}
both_kinds = pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])


# --- one micro-batch ----------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("settings", EVERY_SETTING.values(), ids=EVERY_SETTING)
def test_loss_reference_point_rewards_and_gradients_are_trls(trainers: Callable, full: bool, settings: dict) -> None:
    ours, stock = trainers(full, settings)
    loader = ours.get_train_dataloader()
    assert len(loader) == 6
    assert max([compare(ours, stock, inputs)["kl"] for inputs in loader]) > 0


@both_kinds
@pytest.mark.parametrize("settings", [{}, {"precompute_ref": False}], ids=["precomputed", "live"])
def test_the_loss_without_a_reference_point_is_trls(trainers: Callable, full: bool, settings: dict) -> None:
    ours, stock = trainers(full, settings, **APO)
    assert "KL_completion_ids" not in ours.train_dataset.column_names
    for inputs in list(ours.get_train_dataloader())[:3]:
        compare(ours, stock, inputs)


def test_tied_embeddings_get_the_gradients_of_both_their_uses(tmp_path: Path) -> None:
    def tied(**more: Any) -> Any:
        return small_model(tie_word_embeddings=True, **more)

    ours = new_ours(tmp_path, full=True, model=tied)
    stock = new_stock(tmp_path, ours.train_dataset, full=True, model=tied)
    compare(ours, stock, next(iter(ours.get_train_dataloader())))


@both_kinds
@pytest.mark.parametrize("reentrant", [False, True], ids=["", "reentrant"])
@pytest.mark.parametrize("settings", [{}, {"prefix_kl": True}], ids=["", "prompts once"])
def test_gradient_checkpointing_changes_nothing(
    tmp_path: Path, said: list[str], full: bool, reentrant: bool, settings: dict
) -> None:
    plain = new_ours(tmp_path, settings, full)
    thrifty = new_ours(tmp_path, settings, full, changes=checkpointed(reentrant))
    as_train_would(thrifty)
    assert thrifty.train_dataset["ref_logps"] == plain.train_dataset["ref_logps"]
    for inputs in list(plain.get_train_dataloader())[:2]:
        expected, found = step(plain, inputs), step(thrifty, inputs)
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-12)
        assert found["kl"] == pytest.approx(expected["kl"], abs=1e-10)
        for name, gradient in expected["gradients"].items():
            torch.testing.assert_close(found["gradients"][name], gradient, atol=1e-10, rtol=1e-8, msg=name)
    assert said == []


def test_checkpoints_hold_no_keys_for_the_backward_pass_and_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the passes they are there, and nothing else has four dimensions."""
    between: list[int] = []

    def watched(*given: Any) -> torch.Tensor:
        between.append(len(keys_and_values()))
        return second_pass(*given)

    ours = new_ours(tmp_path, {"prefix_kl": True}, changes=checkpointed())
    as_train_would(ours)
    second_pass = scoring._second_pass
    monkeypatch.setattr(scoring, "_second_pass", watched)
    layers = [module for module in ours.model.modules() if isinstance(module, GradientCheckpointingLayer)]
    loss = ours.compute_loss(ours.model.train(), next(iter(ours.get_train_dataloader())))
    assert between == [2 * len(layers)]
    assert keys_and_values() == []
    held: list[list[torch.Tensor]] = []
    last_to_learn = layers[0].self_attn.q_proj.lora_A["default"].weight
    last_to_learn.register_post_accumulate_grad_hook(lambda _: held.append(keys_and_values()))
    loss.backward()  # which makes the keys again, layer by layer
    assert held == [[]]
    assert not any(layer._can_checkpoint_with_cache for layer in layers)


def keys_and_values() -> list[torch.Tensor]:
    """[rows, heads, tokens, size] each, of however many rows and tokens."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if isinstance(each, torch.Tensor)]
    return [each for each in tensors if each.dim() == 4]


# --- padding ------------------------------------------------------------------------------------------------


def test_a_batchs_loss_does_not_depend_on_how_far_it_is_padded(tmp_path: Path) -> None:
    ours = new_ours(tmp_path)
    rows = [ours.train_dataset[i] for i in range(4)]
    ours.model.train()
    narrow = ours.data_collator(rows)
    ours.data_collator.pad_to_multiple_of = 50
    wide = ours.data_collator(rows)
    assert wide["input_ids"].shape[1] > narrow["input_ids"].shape[1]
    losses = [ours.compute_loss(ours.model, batch).item() for batch in (narrow, wide)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)


def test_a_rows_values_do_not_depend_on_a_longer_row_beside_it(tmp_path: Path) -> None:
    ours = new_ours(tmp_path, {"precompute_ref": False})
    longest = max(range(22), key=lambda i: len(ours.train_dataset["prompt_ids"][i]))
    rows = [ours.train_dataset[i] for i in range(22) if i != longest][:3]
    alone = ours.compute_ref_log_probs(ours.model, ours.data_collator(rows))
    beside = ours.compute_ref_log_probs(ours.model, ours.data_collator([*rows, ours.train_dataset[longest]]))
    for values, with_longer in zip(alone, beside, strict=True):
        torch.testing.assert_close(with_longer[:3], values, atol=1e-10, rtol=0)


def test_a_row_without_a_prompt_begins_with_a_token_that_nothing_foretells() -> None:
    model = small_model(dtype=torch.float64).eval()
    empty, other = {"prompt_ids": [], "completion_ids": [7, 8, 9]}, {"prompt_ids": [5, 6], "completion_ids": [10, 11]}
    rows = [empty | {"KL_completion_ids": [10, 11]}, other | {"KL_completion_ids": [7, 8, 9]}]
    batch = DataCollatorForUnpairedPreference(0, max_length=64)([row | {"label": True} for row in rows])
    head = model.get_output_embeddings()
    together = score_both(model, head, batch, 2)
    for found, prefix in zip(together, ("", "KL_"), strict=False):
        torch.testing.assert_close(found, score(model, head, batch, prefix)[0], atol=1e-10, rtol=0)


WINDOWS = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
OPT = {"ffn_dim": 64, "word_embed_proj_dim": 32, "dropout": 0.0}
NEO = {"attention_types": [[["global", "local"], 1]], "window_size": 4, "intermediate_size": 64}
ARCHITECTURES = {
    "a sliding window": (MistralForCausalLM, MistralConfig, {"sliding_window": 4}),
    "some layers with a window": (Qwen2ForCausalLM, Qwen2Config, WINDOWS),
    "positions counted by the mask": (OPTForCausalLM, OPTConfig, OPT),
    "places counted in the cache": (GPTNeoForCausalLM, GPTNeoConfig, NEO),
    "biases by place in the cache": (MptForCausalLM, MptConfig, {"no_bias": False}),
    "biases by distance": (BloomForCausalLM, BloomConfig, {"n_head": 4, "n_layer": 2}),
    "a state": (MambaForCausalLM, MambaConfig, {}),
}


@pytest.mark.parametrize("prefix_kl", [False, True])
@pytest.mark.parametrize(("kind", "config", "more"), ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_without_a_mask_every_kind_of_model_gives_trls_loss(
    tmp_path: Path, kind: type, config: type, more: dict[str, Any], prefix_kl: bool
) -> None:
    model = partial(small_model, kind=kind, config=config, **more)
    adapter = small_lora(target_modules=["in_proj"]) if kind is MambaForCausalLM else small_lora()
    settings = {"precompute_ref": False, "prefix_kl": prefix_kl}
    ours = new_ours(tmp_path, settings, model=model, peft_config=adapter)
    stock = new_stock(tmp_path, ours.train_dataset, model=model, peft_config=adapter)
    for inputs in list(ours.get_train_dataloader())[:2]:
        compare(ours, stock, inputs)


# --- rounding -----------------------------------------------------------------------------------------------


def test_a_long_completion_is_added_up_without_its_rounding_growing() -> None:
    """Added one by one, 4,000 log-probabilities are off by 0.013 nats; added in pairs, by a rounding of their sum."""
    tokens = 4000
    model = small_model(max_position_embeddings=tokens, tie_word_embeddings=False).eval()
    ids = torch.randint(0, len(small_tokenizer()), (1, tokens))
    mask = (torch.arange(tokens) > 0).long()[None]
    with torch.no_grad():
        found = score(model, model.lm_head, {"input_ids": ids, "completion_mask": mask})[0].item()
        each = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    assert found == pytest.approx(each.double().sum().item(), rel=2e-7)


# --- before the first step ----------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("live", [True, False], ids=["live", "precomputed"])
def test_at_step_0_rewards_and_reference_point_are_0_and_the_loss_is_half_the_mean_weight(
    tmp_path: Path, full: bool, live: bool
) -> None:
    """Exactly where policy and reference see the same batches, as here."""
    reference = {"ref_model": small_model()} if full and live else {}
    ours = new_ours(tmp_path, {"precompute_ref": not live}, full, model=float32, apart=False, **reference)
    for inputs in list(ours.get_train_dataloader())[:3]:
        found = step(ours, inputs)
        desirable = inputs["label"].float().mean().item()
        weight = desirable * WEIGHTS["desirable_weight"] + (1 - desirable) * WEIGHTS["undesirable_weight"]
        assert found["loss"] == pytest.approx(0.5 * weight, abs=1e-7)
        assert [found[name] for name in ("kl", "rewards/chosen", "rewards/rejected")] == [0.0, 0.0, 0.0]


def float32(dtype: torch.dtype) -> Any:
    return small_model()


# --- weights ------------------------------------------------------------------------------------------------


def test_a_class_of_weight_0_is_not_learned_from(tmp_path: Path) -> None:
    """Axolotl and TRL's predecessors took 0 for 1."""
    ours = new_ours(tmp_path, changes={"desirable_weight": 0.0}, apart=False)
    inputs = next(iter(ours.get_train_dataloader()))
    share = (~inputs["label"]).float().mean().item()
    assert step(ours, inputs)["loss"] == pytest.approx(0.5 * share * WEIGHTS["undesirable_weight"], abs=1e-6)
    only = {**inputs, "label": torch.ones(4, dtype=torch.bool)}
    found = step(ours, only)
    assert found["loss"] == 0.0
    assert all((gradient == 0).all() for gradient in found["gradients"].values())


@pytest.mark.parametrize(
    ("share", "desirable", "undesirable"),
    [(0.5, 1.0, 1.0), (0.25, 3.0, 1.0), (0.1, 9.0, 1.0), (0.75, 1.0, 3.0), (0.55, 1.0, 1.0)],
)
def test_weights_come_from_the_labels_counts(
    tmp_path: Path, share: float, desirable: float, undesirable: float
) -> None:
    """λ_D·n_D / (λ_U·n_U) in [1, 4/3], the larger class keeping 1 (paper, eq. 9; TRL): 40 rows."""
    data = text_rows(40, desirable=share)
    ours = new_ours(tmp_path, {"auto_weights": True, "precompute_ref": False}, train_dataset=data, apart=False)
    assert (ours.desirable_weight, ours.undesirable_weight) == (desirable, undesirable)
    assert 1 <= desirable * share / (undesirable * (1 - share)) <= 4 / 3
    inputs = next(iter(ours.get_train_dataloader()))
    part = inputs["label"].double().mean().item()
    assert step(ours, inputs)["loss"] == pytest.approx(0.5 * (part * desirable + (1 - part) * undesirable))


TIMES = {f"eval_{name}" for name in ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")}


# --- evaluation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("full", "live"), [(False, False), (True, True)], ids=["lora, precomputed", "full, live"])
def test_evaluation_gives_trls_figures(tmp_path: Path, full: bool, live: bool) -> None:
    """Eleven rows in micro-batches of three and a last one of two, which are not those of training."""
    changes = {"per_device_eval_batch_size": 3}
    held_out = text_rows(11, seed=9, desirable=0.3)
    settings = {"log_entropy": True, "precompute_ref": not live}
    reference = {"ref_model": small_model(dtype=torch.float64)} if live else {}
    ours = new_ours(tmp_path, settings, full, eval_dataset=held_out, changes=changes, **reference)
    stock = new_stock(tmp_path, ours.train_dataset, full, eval_dataset=ours.eval_dataset, changes=changes)
    found, expected = ours.evaluate(), stock.evaluate()
    names = set(expected) - TIMES
    assert set(found) - TIMES == names
    assert len(names) > 10
    for name in names:
        assert found[name] == pytest.approx(expected[name], abs=1e-5, rel=1e-5), name


def test_rows_given_to_evaluate_are_arranged_for_their_own_micro_batch(tmp_path: Path) -> None:
    """Pairs made for another batch size would meet rows that are elsewhere (TRL takes that of training)."""
    held_out = text_rows(18, seed=9).select(range(9))  # nine prompts
    ours = new_ours(tmp_path, eval_dataset=held_out, changes={"per_device_eval_batch_size": 3})
    rows = ours.eval_dataset
    for start in range(0, 9, 3):
        block: Dataset = rows.select(range(start, start + 3))
        assert sorted(block["KL_completion_ids"]) == sorted(block["completion_ids"])
    found = ours.evaluate(held_out)
    assert found["eval_loss"] == pytest.approx(ours.evaluate()["eval_loss"], abs=1e-7)
