"""The memory formula against figures counted by hand and published ones, and measured results, which win over it."""

import json
from pathlib import Path
from typing import Any

import pytest
from plans import recipe_of, result_of
from tiny_models import random_llama

from kto_recipes.doctor.finding import Finding
from kto_recipes.doctor.machine import Gpu
from kto_recipes.doctor.memory import estimate, memory_finding, trained_parameters
from kto_recipes.doctor.shapes import KNOWN, Shape, shape_of
from kto_recipes.recipe.checks import PLUGIN
from kto_recipes.recipe.results import Result

LLAMA = KNOWN["meta-llama/Llama-3.1-8B"]
QWEN = KNOWN["Qwen/Qwen2.5-3B-Instruct"]
LORA = recipe_of("llama-3.1-8b-lora")
QLORA = recipe_of("llama-3.1-8b-qlora")
FULL = {
    "rl": "kto",
    "bf16": True,
    "micro_batch_size": 4,
    "sequence_len": 2048,
    "optimizer": "adamw_torch",
    "gradient_checkpointing": True,
}
H100 = Gpu("NVIDIA H100 80GB HBM3", 81559 / 1024, "580.105.08", (9, 0))
L4 = Gpu("NVIDIA L4", 23034 / 1024, "580.105.08", (8, 9))


def parts(recipe: dict[str, Any], shape: Shape = LLAMA, gpus: int = 1) -> dict[str, float]:
    return estimate(recipe, shape, gpus).parts


# --- shapes -------------------------------------------------------------------------------------------------


def test_the_models_have_the_numbers_of_parameters_that_the_hub_gives() -> None:
    assert LLAMA.parameters == 8_030_261_248
    assert QWEN.parameters == 3_085_938_688


def test_a_local_model_is_counted_from_its_config(tmp_path: Path) -> None:
    model = random_llama(0)
    model.config.save_pretrained(tmp_path)
    shape = shape_of(str(tmp_path))
    assert shape is not None
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_a_biased_and_tied_model_is_counted_from_its_config(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=100,
        tie_word_embeddings=True,
    )
    config.save_pretrained(tmp_path)
    shape = shape_of(str(tmp_path))
    assert shape is not None
    assert shape.parameters == sum(parameter.numel() for parameter in Qwen2ForCausalLM(config).parameters())


def test_the_shape_of_another_architecture_or_an_unknown_name_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba", "hidden_size": 8}')
    assert shape_of(str(tmp_path)) is None
    assert shape_of("somebody/some-model") is None
    assert shape_of(str(tmp_path / "absent")) is None


# --- the formula --------------------------------------------------------------------------------------------


def test_bf16_weights_of_8_billion_parameters_are_15_gib() -> None:
    # 8.03e9 × 2 bytes
    assert parts(LORA)["weights"] == pytest.approx(14.96, abs=0.005)


def test_4_bit_weights_are_half_a_byte_with_their_scales_and_the_rest_stays_in_bf16() -> None:
    # 32 layers × 218,103,808 linear weights × (0.5 + 1/64 + 4/16384) bytes = 3.353 GiB; 1,050,939,392 others × 2
    assert parts(QLORA)["weights"] == pytest.approx(3.353 + 1.958, abs=0.002)


def test_a_lora_of_rank_16_on_all_linear_layers_has_the_well_known_42_million_parameters() -> None:
    assert trained_parameters(recipe_of("llama-3.1-8b-lora", "sft"), LLAMA) == 41_943_040
    # q and v alone: 32 × 16 × (4096 + 4096 + 4096 + 1024), 6.8 million
    two = LORA | {"lora_target_linear": False, "lora_target_modules": ["q_proj", "v_proj"], "lora_r": 16}
    assert trained_parameters(two, LLAMA) == 6_815_744


def test_a_lora_keeps_weights_gradients_and_two_states_in_float32() -> None:
    # rank 64: 167,772,160 parameters × 4 bytes = 0.625 GiB
    lora = parts(LORA)
    assert (lora["adapter"], lora["gradients"], lora["optimizer"]) == pytest.approx((0.625, 0.625, 1.25))
    assert parts(QLORA)["optimizer"] == pytest.approx(0.3125)  # 8-bit: two states of a byte


def test_full_weights_have_gradients_states_and_for_kto_two_more_models() -> None:
    gib = 8.030261248 / 1.073741824
    full = parts(FULL)
    assert full["gradients"] == pytest.approx(2 * gib)
    assert full["optimizer"] == pytest.approx(8 * gib)
    assert full["reference"] == pytest.approx(6 * gib)
    assert "adapter" not in full
    assert parts(FULL | {"optimizer": "adamw_torch_8bit"})["optimizer"] == pytest.approx(2 * gib)
    ours = FULL | {"plugins": [PLUGIN]}
    assert "reference" not in parts(ours)  # computed before training
    assert parts(ours | {"kto": {"precompute_ref": False}})["reference"] == pytest.approx(4 * gib)
    assert "reference" not in parts({key: value for key, value in FULL.items() if key != "rl"})


def test_zero_3_shares_weights_gradients_and_states_with_a_master_copy(tmp_path: Path) -> None:
    file = tmp_path / "zero.json"
    gib = 8.030261248 / 1.073741824
    for stage, weights, gradients, optimizer in ((1, 2, 2, 12 / 8), (2, 2, 2 / 8, 12 / 8), (3, 2 / 8, 2 / 8, 12 / 8)):
        file.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
        shared = parts(FULL | {"deepspeed": str(file)}, gpus=8)
        found = (shared["weights"], shared["gradients"], shared["optimizer"])
        assert found == pytest.approx((weights * gib, gradients * gib, optimizer * gib))


@pytest.mark.parametrize(
    ("shape", "tokens", "gib"), [(LLAMA, 1024, 13.7), (LLAMA, 2048, 27.4), (QWEN, 1024, 16.2), (QWEN, 2048, 32.5)]
)
def test_stock_logits_at_micro_batch_8_in_bf16(shape: Shape, tokens: int, gib: float) -> None:
    recipe = LORA | {"micro_batch_size": 8, "sequence_len": tokens, "plugins": []}
    assert parts(recipe, shape)["logits"] == pytest.approx(gib, abs=0.05)


def test_the_plugin_keeps_no_vocabulary_sized_tensor_in_kto_unless_told_to() -> None:
    assert parts(LORA)["logits"] == 0.3
    assert parts(LORA | {"kto": {"fused_logps": True}})["logits"] == 0.3
    stock = parts(LORA | {"plugins": []})["logits"]
    assert parts(LORA | {"kto": {"fused_logps": False}})["logits"] == stock
    assert parts({key: value for key, value in LORA.items() if key != "rl"})["logits"] == stock  # SFT


def test_gradient_checkpointing_keeps_a_layers_input_alone_and_one_layer_besides() -> None:
    # micro batch 1, 1024 tokens, bf16, no dropout; a layer's numbers: 10·4096 + 4·1024 + 4·14336 = 102,400
    recipe = LORA | {"micro_batch_size": 1, "sequence_len": 1024, "lora_dropout": 0}
    assert parts(recipe)["activations"] == pytest.approx((102_400 + 32 * 4096) * 1024 * 2 / 2**30)
    without = recipe | {"gradient_checkpointing": False}
    assert parts(without)["activations"] == pytest.approx(32 * 102_400 * 1024 * 2 / 2**30)
    assert parts(without | {"micro_batch_size": 3})["activations"] == pytest.approx(3 * parts(without)["activations"])


def test_dropout_of_a_lora_keeps_a_copy_of_each_layers_input() -> None:
    recipe = LORA | {"micro_batch_size": 1, "sequence_len": 1024, "lora_dropout": 0.05, "gradient_checkpointing": False}
    more = parts(recipe)["activations"] - parts(recipe | {"lora_dropout": 0})["activations"]
    assert more == pytest.approx(32 * (6 * 4096 + 14336) * 1024 * 2 / 2**30)


def test_float32_doubles_the_weights() -> None:
    assert parts(LORA | {"bf16": False})["weights"] == pytest.approx(2 * parts(LORA)["weights"])


def test_the_total_is_the_sum_of_the_parts_with_the_context() -> None:
    memory = estimate(LORA, LLAMA)
    assert memory.parts["context"] == 1
    assert memory.total == pytest.approx(sum(memory.parts.values()))


# --- the finding --------------------------------------------------------------------------------------------


def finding(recipe: dict[str, Any], gpu: Gpu | None, *results: Result, **more: Any) -> Finding:
    return memory_finding("kto", recipe, LLAMA, gpu, list(results), **more)


def result(**changes: Any) -> Result:
    return result_of("kto", LORA, **({"gpu": H100.name} | changes))


def failed(**changes: Any) -> Result:
    return result(outcome="oom", peak_gib=None, tokens_per_s=None, step_s=None, **changes)


def test_what_fits_with_room_is_ok_and_says_that_it_is_an_estimate() -> None:
    found = finding(LORA, H100)
    assert found.status == "ok"
    assert "of 79.6 GiB on NVIDIA H100 80GB HBM3" in found.message
    assert "estimated, not checked against real runs" in found.message


def test_too_small_a_gpu_is_an_error_with_ways_out() -> None:
    found = finding(LORA | {"plugins": []}, L4)  # stock: 35 GiB
    assert found.status == "error"
    assert "micro_batch_size" in found.advice
    assert "qlora" in found.advice


def test_above_nine_tenths_of_the_memory_is_a_warning() -> None:
    need = estimate(LORA, LLAMA).total
    for share, status in ((0.89, "ok"), (0.91, "warning"), (1.01, "error")):
        assert finding(LORA, Gpu("x", need / share, "", (9, 0))).status == status


def test_without_a_gpu_there_is_nothing_to_compare_and_a_cpu_recipe_has_main_memory() -> None:
    assert finding(LORA, None).status == "warning"
    assert finding(LORA, None, main_memory=500.0).status == "ok"
    assert finding(LORA, None, main_memory=5.0).status == "error"


def test_an_unknown_shape_is_a_warning() -> None:
    assert memory_finding("kto", LORA, None, H100, []).status == "warning"


def test_a_measured_peak_and_the_context_win_over_the_estimate() -> None:
    assert finding(LORA, L4, result(peak_gib=15.0)).status == "ok"
    assert finding(LORA, H100, result(peak_gib=77.0)).status == "warning"
    assert finding(LORA, H100, result(peak_gib=79.0)).status == "error"  # 80 of 79.6
    assert "measured" in finding(LORA, H100, result()).message


@pytest.mark.parametrize("other", [{"sequence_len": 1024}, {"micro_batch_size": 8}, {"stage": "sft"}, {"gpus": 8}])
def test_a_result_with_other_settings_or_of_another_stage_says_nothing(other: dict[str, Any]) -> None:
    assert finding(LORA, H100, failed(**other)).status == "ok"
    assert "estimated" in finding(LORA, H100, result(**other)).message


def test_a_peak_with_rows_as_short_as_chats_does_not_show_that_the_longest_fit() -> None:
    assert "estimated" in finding(LORA, H100, result(lengths="mixed")).message


def test_out_of_memory_on_as_large_a_gpu_is_an_error_and_on_a_smaller_one_none() -> None:
    assert finding(LORA, H100, failed()).status == "error"
    assert finding(LORA, H100, failed(gpu="NVIDIA H200")).status == "error"
    assert finding(LORA, H100, failed(gpu="NVIDIA L40S")).status == "ok"
    assert "2026-11-21" in finding(LORA, H100, failed()).message
