"""A LoRA layer in one product gives what peft's layer gives, and leaves to peft what is more than plain LoRA."""

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners import lora
from small_trainers import distance, move_apart, new_ours, small_lora, small_model, step, text_rows
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from kto_recipes.trainer.fused_lora import fuse_lora


def two(adapter: LoraConfig | None = None, **more: Any) -> tuple[Any, Any]:
    """The same model with the same adapter, the one with peft's layers and the other with ours."""
    peft_model = get_peft_model(small_model(**more), adapter or small_lora())
    move_apart(peft_model)
    fused = copy.deepcopy(peft_model)
    fuse_lora(fused)
    return peft_model, fused


def passed(model: Any, ids: torch.Tensor, autocast: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The logits, and the gradients of a loss that weighs each of them differently."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
        logits = model(input_ids=ids).logits
    torch.manual_seed(3)
    (logits.float() * torch.randn(logits.shape)).sum().backward()
    gradients = {name: p.grad.double() for name, p in model.named_parameters() if p.requires_grad}
    return logits.detach().double(), gradients


IDS = torch.arange(60).reshape(3, 20)


def assert_same(found: tuple, expected: tuple, rtol: float = 1e-10) -> None:
    torch.testing.assert_close(found[0], expected[0], atol=rtol * float(expected[0].abs().max()), rtol=rtol)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        limit = rtol * float(gradient.abs().max())
        torch.testing.assert_close(found[1][name], gradient, atol=limit, rtol=rtol, msg=name)


def products(model: Any, run: Callable[[], object]) -> int:
    """How many layers of `model` run their second factor past its own forward."""
    called: list[str] = []
    layers = [m for m in model.modules() if isinstance(m, lora.LoraLayer)]
    own = nn.Linear.forward
    factors = {id(factor) for layer in layers for factor in layer.lora_B.values()}

    def counted(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        if id(self) in factors:
            called.append("")
        return own(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Linear, "forward", counted)
        run()
    return len(layers) - len(called)


# --- the same values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 2}}, {"target_modules": ["q_proj", "v_proj"]}]
)
def test_logits_and_gradients_are_pefts(changes: dict[str, Any], said: list[str]) -> None:
    theirs, ours = two(small_lora(**changes), dtype=torch.float64)
    expected = passed(theirs, IDS)
    assert products(ours, lambda: assert_same(passed(ours, IDS), expected)) > 0
    assert products(theirs, lambda: passed(theirs, IDS)) == 0
    assert said == []


def test_in_bfloat16_it_is_nearer_the_exact_values_than_pefts() -> None:
    theirs, ours = (model.to(torch.bfloat16) for model in two(dtype=torch.bfloat16))
    exact = passed(copy.deepcopy(theirs).double(), IDS)
    off = {}
    for name, model in (("theirs", theirs), ("ours", ours)):
        logits, gradients = passed(model, IDS)
        off[name] = float((logits - exact[0]).norm()), distance(gradients, exact[1])
    assert off["ours"][0] < off["theirs"][0]
    assert off["ours"][1] < off["theirs"][1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_a_float32_adapter_gives_pefts_values_within_bf16(dtype: torch.dtype, said: list[str]) -> None:
    theirs, ours = two(dtype=dtype)
    assert {p.dtype for p in ours.parameters() if p.requires_grad} == {torch.float32}
    expected = passed(theirs, IDS, autocast=True)
    assert products(ours, lambda: assert_same(passed(ours, IDS, autocast=True), expected, rtol=0.05)) == 14
    assert said == []


def test_a_float32_adapter_on_bf16_weights_without_autocast_gives_pefts_values() -> None:
    theirs, ours = two(dtype=torch.bfloat16)
    expected = passed(theirs, IDS)
    assert products(ours, lambda: assert_same(passed(ours, IDS), expected, rtol=0.05)) == 0
    assert torch.equal(passed(ours, IDS)[0], expected[0])


@pytest.mark.parametrize("shape", [(8,), (0, 8), (2, 0, 8), (5, 8), (2, 3, 4, 8)], ids=str)
def test_inputs_of_any_shape_give_pefts_outputs(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    theirs = get_peft_model(nn.Sequential(nn.Linear(8, 12)), LoraConfig(target_modules=["0"], r=2))
    move_apart(theirs)
    ours = copy.deepcopy(theirs)
    fuse_lora(ours)
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("everywhere", [False, True], ids=["on the layer", "on every module"])
def test_what_watches_the_frozen_layer_sees_its_output_alone(everywhere: bool) -> None:
    seen: dict[str, torch.Tensor] = {}
    for name, model in zip(("theirs", "ours"), two(dtype=torch.float64), strict=True):
        layer = model.get_base_model().model.layers[0].self_attn.q_proj.base_layer

        def watch(module: nn.Module, _: Any, output: Any, name: str = name, layer: nn.Module = layer) -> None:
            if module is layer:
                seen[name] = output

        register = nn.modules.module.register_module_forward_hook if everywhere else layer.register_forward_hook
        hook = register(watch)
        try:
            passed(model, IDS)
        finally:
            hook.remove()
    torch.testing.assert_close(seen["ours"], seen["theirs"], atol=1e-12, rtol=1e-10)


def test_weights_that_lie_transposed_are_pefts() -> None:
    sizes = {"n_embd": 32, "n_head": 4, "n_layer": 2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    gpt2 = {"kind": GPT2LMHeadModel, "config": GPT2Config, **sizes}
    theirs, ours = two(small_lora(target_modules=["c_attn"], fan_in_fan_out=True), dtype=torch.float64, **gpt2)
    assert any(isinstance(m, Conv1D) for m in ours.modules())
    expected = passed(theirs, IDS)
    assert products(ours, lambda: assert_same(passed(ours, IDS), expected)) == 2


# --- what peft does with such a layer -----------------------------------------------------------------------


def test_the_adapter_can_be_turned_off_merged_saved_and_loaded(tmp_path: Path) -> None:
    theirs, ours = two(dtype=torch.float64)
    expected = theirs(input_ids=IDS).logits
    with theirs.disable_adapter(), ours.disable_adapter():
        base = ours(input_ids=IDS).logits
        assert torch.equal(base, theirs(input_ids=IDS).logits)
    assert not torch.allclose(base, expected, atol=0.01)
    ours.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(small_model(dtype=torch.float64), tmp_path, autocast_adapter_dtype=False)
    merged = ours.merge_and_unload()
    assert not any(isinstance(m, lora.LoraLayer) for m in merged.modules())
    for model in (loaded, merged):
        torch.testing.assert_close(model(input_ids=IDS).logits, expected, atol=1e-4, rtol=1e-4)


# --- what is left to peft -----------------------------------------------------------------------------------


def more_than_one(model: Any) -> Any:
    model.add_adapter("second", small_lora())
    model.base_model.set_adapter(["default", "second"])
    return model


def watched(model: Any) -> Any:
    for layer in model.modules():
        if isinstance(layer, lora.LoraLayer):
            layer.lora_B["default"].register_forward_pre_hook(lambda *_: None)
    return model


HANDED_ON = {
    "DoRA": ({"use_dora": True}, lambda model: model, "the adapter is a DoraLinearVariant"),
    "a bias": ({"lora_bias": True}, lambda model: model, "the adapter has a bias"),
    "two adapters": ({}, more_than_one, "several adapters are active"),
    "hooks": ({}, watched, "something else looks after the adapter's weights, as ZeRO-3 and FSDP do"),
}


@pytest.mark.parametrize(("config", "change", "reason"), HANDED_ON.values(), ids=HANDED_ON)
def test_what_is_more_than_plain_lora_takes_pefts_way_and_says_so_once(
    config: dict[str, Any], change: Callable, reason: str, said: list[str]
) -> None:
    model = change(get_peft_model(small_model(dtype=torch.float64), small_lora(**config)))
    move_apart(model)
    expected = passed(model, IDS)
    fuse_lora(model)
    assert_same(passed(model, IDS), expected, rtol=1e-14)
    assert said == [f"fused_lora is not used: {reason}; peft's own layers are"]


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("inner", [False, True], ids=["whole layers", "each factor"])
def test_weights_that_fsdp_gathers_are_read_where_they_are_whole(one_rank: None, said: list[str], inner: bool) -> None:
    theirs, ours = two(dtype=torch.float32)
    expected = passed(theirs, IDS)
    mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
    for layer in ours.get_base_model().model.layers:
        factors = [factor for m in layer.modules() if isinstance(m, lora.LoraLayer) for factor in m.lora_B.values()]
        for module in [*(factors if inner else []), layer]:
            fully_shard(module, mesh=mesh)
    found = passed(ours, IDS)
    whole = {name: value.full_tensor() if hasattr(value, "full_tensor") else value for name, value in found[1].items()}
    assert_same((found[0], whole), expected, rtol=1e-4)
    assert len(said) == (1 if inner else 0)


# --- in the trainer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
def test_the_setting_decides(tmp_path: Path, fused: bool) -> None:
    """That a step is TRL's either way is among the settings of test_fast.py."""
    ours = new_ours(tmp_path, {"fused_lora": fused}, train_dataset=text_rows(12))
    inputs = next(iter(ours.get_train_dataloader()))
    assert (products(ours.model, lambda: step(ours, inputs)) > 0) is fused


def test_a_frozen_adapter_as_reference_rounds_as_the_policy_does(tmp_path: Path) -> None:
    """TRL makes one of an adapter that was trained before, and asks for its values while it sets up."""

    def trained_before(**_: Any) -> PeftModel:
        model = get_peft_model(small_model(), small_lora())
        move_apart(model)
        return model

    changes = {"bf16": True, "learning_rate": 0.0, "max_steps": 1}
    ours = new_ours(tmp_path, model=trained_before, peft_config=None, apart=False, changes=changes)
    assert "ref" in ours.model.peft_config
    ours.train()
    logged = ours.state.log_history[0]
    assert [logged[name] for name in ("kl", "rewards/chosen", "rewards/rejected")] == [0, 0, 0]


def test_another_rounding_is_not_taken_from_the_kept_reference(tmp_path: Path) -> None:
    for fused in (True, False):
        new_ours(tmp_path, {"fused_lora": fused, "ref_cache_dir": tmp_path / "cache"})
    assert len(list((tmp_path / "cache").iterdir())) == 2
