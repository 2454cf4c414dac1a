"""Where a part cannot be used, the trainer says so in one line and computes TRL's loss the longer way."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import IterableDataset
from peft import PrefixTuningConfig
from small_trainers import (
    WEIGHTS,
    as_train_would,
    checkpointed,
    compare,
    distance,
    new_ours,
    new_stock,
    small_arguments,
    small_lora,
    small_model,
    small_tokenizer,
    step,
    text_rows,
)
from torch import nn
from transformers import (
    BartConfig,
    BertConfig,
    BitsAndBytesConfig,
    CohereConfig,
    CohereForCausalLM,
    DogeConfig,
    FalconH1Config,
    FlaubertConfig,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    MixtralForCausalLM,
    OpenAIGPTConfig,
    RecurrentGemmaConfig,
    XLNetConfig,
    set_seed,
    xLSTMConfig,
)
from transformers.integrations import HfDeepSpeedConfig
from trl import KTOTrainer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from kto_recipes.trainer.fitting import why_no_prefix, why_not_fused

gemma2 = partial(
    small_model, kind=Gemma2ForCausalLM, config=Gemma2Config, head_dim=8, final_logit_softcapping=4.0, pad_token_id=0
)
cohere = partial(small_model, kind=CohereForCausalLM, config=CohereConfig, logit_scale=0.0625)
granite = partial(small_model, kind=GraniteForCausalLM, config=GraniteConfig, logits_scaling=2.0)


def mixtral(**_: Any) -> MixtralForCausalLM:
    """In float32: transformers' products of grouped experts know no float64."""
    return small_model(kind=MixtralForCausalLM, config=MixtralConfig, num_local_experts=2, num_experts_per_tok=1)


def gemma3(**more: Any) -> Any:
    """Whose tokens see all others: what pads a row would count."""
    return small_model(
        kind=Gemma3ForCausalLM, config=Gemma3TextConfig, head_dim=8, use_bidirectional_attention=True, **more
    )


class OwnCollator(DataCollatorForUnpairedPreference):
    """Pads as TRL's does, which nobody can know."""


AFTER_THE_HEAD = "the model changes its logits after the head"
CASES = {
    "softcapping": ({"model": gemma2}, f"{AFTER_THE_HEAD} (final_logit_softcapping)"),
    "a scale": ({"model": cohere}, f"{AFTER_THE_HEAD} (logit_scale)"),
    "a divisor": ({"model": granite}, f"{AFTER_THE_HEAD} (logits_scaling)"),
    "experts": ({"model": mixtral}, "the experts' balance loss needs the router's logits"),
    "attention to what comes after": (
        {"model": gemma3},
        "the model's tokens look at those after them, padding as well",
    ),
    "another collator": ({"data_collator": OwnCollator(0, max_length=64)}, "OwnCollator may pad on the left"),
    "an adapter on the head": (
        {"peft_config": small_lora(target_modules=["q_proj", "lm_head"])},
        "the head has an adapter",
    ),
    "a trained copy of the head": (
        {"peft_config": small_lora(target_modules=["q_proj"], modules_to_save=["lm_head"])},
        "the head is a ModulesToSaveWrapper",
    ),
}


@pytest.mark.parametrize("live", [False, True], ids=["precomputed", "live"])
@pytest.mark.parametrize(("more", "reason"), CASES.values(), ids=CASES)
def test_a_head_that_cannot_be_exchanged_is_said_once_and_the_loss_is_trls(
    tmp_path: Path, said: list[str], more: dict[str, Any], reason: str, live: bool
) -> None:
    ours = new_ours(tmp_path, {"precompute_ref": not live}, **more)
    stock = new_stock(tmp_path, ours.train_dataset, **more)
    for inputs in list(ours.get_train_dataloader())[:2]:
        found, expected = step(ours, inputs), step(stock, inputs)
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-6)
        assert found["kl"] == pytest.approx(expected["kl"], abs=7e-5)
        for name, gradient in expected["gradients"].items():
            torch.testing.assert_close(found["gradients"][name], gradient, atol=3e-6, rtol=1e-4, msg=name)
    assert said == [f"fused_logps is not used: {reason}; TRL's own log-probabilities are"]


@pytest.mark.parametrize("model", [gemma2, cohere, granite], ids=["softcapping", "a scale", "a divisor"])
def test_the_longer_way_is_needed_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """The head in place of the logits would be wrong: so the cases above can fail."""
    monkeypatch.setattr("kto_recipes.trainer.fast.why_not_fused", lambda *_: None)
    ours = new_ours(tmp_path, {"precompute_ref": False}, model=model)
    stock = new_stock(tmp_path, ours.train_dataset, model=model)
    inputs = next(iter(ours.get_train_dataloader()))
    found, expected = step(ours, inputs), step(stock, inputs)
    assert found["logps/chosen"] != pytest.approx(expected["logps/chosen"], abs=0.1)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (FalconH1Config(lm_head_multiplier=0.5), "lm_head_multiplier"),
        (RecurrentGemmaConfig(logits_soft_cap=30.0), "logits_soft_cap"),
        (xLSTMConfig(output_logit_soft_cap=30.0), "output_logit_soft_cap"),
    ],
)
def test_whatever_transformers_calls_it_a_change_after_the_head_is_noticed(config: Any, name: str) -> None:
    assert why_not_fused(nn.Linear(2, 3), config) == f"{AFTER_THE_HEAD} ({name})"
    assert why_not_fused(nn.Linear(2, 3), LlamaConfig()) is None
    assert why_not_fused(nn.Linear(2, 3), GraniteConfig(logits_scaling=1.0)) is None


@pytest.mark.parametrize(
    "config", [BertConfig(), XLNetConfig(), DogeConfig(), FlaubertConfig()], ids=lambda config: config.model_type
)
def test_a_model_whose_tokens_look_ahead_without_a_mask_is_noticed(config: Any) -> None:
    assert why_not_fused(nn.Linear(2, 3), config) == "the model's tokens look at those after them, padding as well"


ANGLES = "the model's rotary angles depend on the longest row"
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 64, "long_factor": [2.0] * 64}
NO_PREFIX = {
    "a window": (MistralConfig(sliding_window=8), (), "the model's cache has layers of DynamicSlidingWindowLayer"),
    "states": (MambaConfig(), (), "the model's cache has layers of LinearAttentionLayer"),
    "places": (GPTNeoConfig(), (), "the model counts the places of its cache"),
    "no keys": (OpenAIGPTConfig(), (), "the model does not give back the keys of all its layers"),
    "positions by place": (BartConfig(is_decoder=True), (), "the model counts the places of its cache"),
    "dynamic angles": (LlamaConfig(rope_parameters={"rope_type": "dynamic", "factor": 2.0}), (), ANGLES),
    "long angles": (LlamaConfig(rope_parameters=LONGROPE, original_max_position_embeddings=64), (), ANGLES),
    "an adapter before the prompt": (
        LlamaConfig(),
        (PrefixTuningConfig(num_virtual_tokens=4),),
        "the adapter looks for its place in the prompt",
    ),
    "an adapter from a token on": (
        LlamaConfig(),
        (small_lora(alora_invocation_tokens=[5]),),
        "the adapter looks for its place in the prompt",
    ),
}


@pytest.mark.parametrize(("config", "adapters", "reason"), NO_PREFIX.values(), ids=NO_PREFIX)
def test_where_a_prompts_keys_cannot_be_used_again_the_reason_is_said(config: Any, adapters: Any, reason: str) -> None:
    assert why_no_prefix(config, adapters) == reason
    assert why_no_prefix(MistralConfig(sliding_window=None), (small_lora(),)) is None


def test_a_model_that_leaves_no_keys_at_its_checkpoints_runs_the_prompts_twice(tmp_path: Path, said: list[str]) -> None:
    model = partial(small_model, kind=GPT2LMHeadModel, config=GPT2Config, n_head=4, n_layer=2)
    ours = new_ours(tmp_path, {"prefix_kl": True}, full=True, model=model, changes=checkpointed())
    stock = new_stock(tmp_path, ours.train_dataset, full=True, model=model)
    assert said == []
    as_train_would(ours)
    for inputs in list(ours.get_train_dataloader())[:2]:
        compare(ours, stock, inputs)
    assert said == [
        "prefix_kl is not used: the model does not give back the keys of all its layers; each pass runs the prompts "
        "itself"
    ]


def test_with_zero_3_each_pass_runs_the_prompts_itself(tmp_path: Path, said: list[str]) -> None:
    """A layer's count of gradients to come begins anew in the pass without any, and does not come to 0 (0.18.9)."""
    ours = new_ours(tmp_path, {"prefix_kl": True})
    stock = new_stock(tmp_path, ours.train_dataset)
    zero_3 = HfDeepSpeedConfig({"zero_optimization": {"stage": 3}})
    assert zero_3.is_zero3()
    inputs = next(iter(ours.get_train_dataloader()))
    assert step(ours, inputs)["loss"] == pytest.approx(step(stock, inputs)["loss"], abs=8e-7)
    reason = "after a pass without gradient ZeRO-3 would keep layers whole through the backward pass"
    assert said == [f"prefix_kl is not used: {reason}; each pass runs the prompts itself"]


def test_a_stream_keeps_its_order_and_trls_pairs_and_says_so(tmp_path: Path, said: list[str]) -> None:
    rows = text_rows(12).to_list()

    def stream() -> IterableDataset:
        return IterableDataset.from_generator(lambda: iter(rows))

    ours = new_ours(tmp_path, {"precompute_ref": False}, train_dataset=stream(), apart=False)
    set_seed(0)
    stock = KTOTrainer(
        small_model(dtype=torch.float64),
        args=small_arguments(tmp_path, **WEIGHTS),
        train_dataset=stream(),
        processing_class=small_tokenizer(),
        peft_config=small_lora(),
    )
    for trainer in (ours, stock):
        trainer.train()
    found, expected = (
        [[log["loss"], log["kl"], log["rewards/chosen"]] for log in trainer.state.log_history if "loss" in log]
        for trainer in (ours, stock)
    )
    assert len(expected) == 3
    for step_of_ours, step_of_trl in zip(found, expected, strict=True):
        assert step_of_ours == pytest.approx(step_of_trl, abs=1e-4)
    assert said == ["train is a stream: its rows keep their order, and TRL pairs them"]


# --- 4-bit weights ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LlamaForCausalLM]:
    """quantized(): a small Llama in NF4, through bitsandbytes' CPU backend."""
    folder = tmp_path_factory.mktemp("llama")
    small_model(hidden_size=64, intermediate_size=128).save_pretrained(folder)
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
    return lambda **_: LlamaForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.bfloat16, device_map="cpu"
    )


@pytest.mark.parametrize("live", [False, True], ids=["precomputed", "live"])
def test_4_bit_weights_give_trls_loss_within_bf16(
    tmp_path: Path, quantized: Callable, said: list[str], live: bool
) -> None:
    """They compute in bf16: its three digits are all that can agree."""
    settings = {"precompute_ref": not live, "fused_lora": False}  # which rounds less often: see the next test
    ours = new_ours(tmp_path, settings, model=quantized, train_dataset=text_rows(12))
    stock = new_stock(tmp_path, ours.train_dataset, model=quantized)
    assert ours.model.is_loaded_in_4bit
    for trainer in (ours, stock):
        _move_farther_apart(trainer.model)
    losses = []
    for inputs in ours.get_train_dataloader():
        found, expected = step(ours, inputs), step(stock, inputs)
        assert found["loss"] == pytest.approx(expected["loss"], abs=1e-2)
        assert found["kl"] == pytest.approx(expected["kl"], abs=0.1)
        assert found["logps/chosen"] == pytest.approx(expected["logps/chosen"], rel=5e-3)
        for name, gradient in expected["gradients"].items():
            flat = [x.double().flatten() for x in (found["gradients"][name], gradient)]
            assert torch.cosine_similarity(*flat, dim=0) > 0.999, name
        losses.append(expected["loss"])
    assert max(losses) - min(losses) > 0.05
    assert said == []


def test_4_bit_weights_give_gradients_as_near_the_exact_ones_as_trls(
    tmp_path: Path, quantized: Callable, said: list[str]
) -> None:
    def exact_model(**_: Any) -> LlamaForCausalLM:
        return quantized().dequantize().double()

    ours = new_ours(tmp_path, model=quantized, train_dataset=text_rows(12))
    stock = new_stock(tmp_path, ours.train_dataset, model=quantized)
    exact = new_stock(tmp_path, ours.train_dataset, model=exact_model)
    adapter = {name: p.detach().double() for name, p in stock.model.named_parameters() if p.requires_grad}
    exact.model.load_state_dict(adapter, strict=False)
    for trainer in (ours, stock, exact):
        _move_farther_apart(trainer.model)
    for inputs in ours.get_train_dataloader():
        found, trls, exactly = (step(trainer, inputs) for trainer in (ours, stock, exact))
        assert found["loss"] == pytest.approx(exactly["loss"], abs=1e-2)
        off = [distance(each["gradients"], exactly["gradients"]) for each in (found, trls)]
        assert off[0] < 1.1 * off[1] < 0.1
    assert said == []


def test_an_evaluation_leaves_4_bit_weights_trainable(tmp_path: Path, quantized: Callable) -> None:
    """bitsandbytes 0.50.2 packs them for inference on some CPUs, and what is learned afterwards is wrong."""
    settings = {"precompute_ref": False}
    evaluated, fresh = (
        new_ours(tmp_path, settings, model=quantized, train_dataset=text_rows(8), eval_dataset=text_rows(8, seed=4))
        for _ in range(2)
    )
    evaluated.evaluate()
    inputs = next(iter(fresh.get_train_dataloader()))
    found, expected = step(evaluated, inputs), step(fresh, inputs)
    for name, gradient in expected["gradients"].items():
        assert torch.equal(found["gradients"][name], gradient), name


def _move_farther_apart(model: nn.Module) -> None:
    """Rewards must stand out from bf16's rounding."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.mul_(4)
