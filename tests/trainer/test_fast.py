"""The fast trainer computes what TRL's does: loss, reference point, rewards and gradients of the same batches."""

from collections.abc import Callable

import pytest
import torch
from small_trainers import step

EVERY_SETTING = {
    "all": {},
    "live reference": {"precompute_ref": False},
    "stock head": {"fused_logps": False},
    "file order": {"length_buckets": False},
    "prompts once": {"prefix_kl": True},
    "prompts once, live reference": {"prefix_kl": True, "precompute_ref": False},
    "nothing": {"precompute_ref": False, "fused_logps": False, "length_buckets": False},
}
NAMES = [
    "kl",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "logps/chosen",
    "logits/chosen",
    "logits/rejected",
]


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize("settings", EVERY_SETTING.values(), ids=EVERY_SETTING)
def test_loss_reference_point_rewards_and_gradients_are_trls(trainers: Callable, full: bool, settings: dict) -> None:
    ours, stock = trainers(full, settings)
    loader = ours.get_train_dataloader()
    assert len(loader) == 6
    for inputs in loader:
        found, expected = (step(trainer, inputs) for trainer in (ours, stock))
        assert found["loss"] == pytest.approx(expected["loss"], abs=8e-7)
        assert [name for name in NAMES if name in found] == [name for name in NAMES if name in expected]
        for name in (name for name in NAMES if name in expected):
            assert found[name] == pytest.approx(expected[name], abs=7e-5, rel=1e-5), name
        for name, gradient in expected["gradients"].items():
            torch.testing.assert_close(found["gradients"][name], gradient, atol=3e-6, rtol=1e-4, msg=name)
    assert any(step(stock, inputs)["kl"] > 0 for inputs in loader)
