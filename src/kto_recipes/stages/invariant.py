"""What must hold before KTO has learned anything: the policy is still the reference."""

from typing import Any

from kto_recipes.errors import UserError

# In float32 with the same batches both are exact; bf16 and precomputed reference log-probabilities may differ
# by rounding, which summed over an answer's tokens stays below this share of the scale.
TOLERANCE = 1e-2


def check_first_step(log_history: list[dict[str, Any]], recipe: dict[str, Any]) -> None:
    """Check the first training log: loss = half the mean weight, kl = 0, rewards = 0.

    With σ(0) = 1/2 each row's loss is λ/2, so the loss lies between half the smaller and half the larger
    weight, whatever the batch's mix of classes.

    Raises:
        UserError: when it does not hold: the reference is wrong, there is dropout, or a loss kernel is broken.
    """
    first = next((log for log in log_history if "loss" in log), None)
    if first is None or first.get("step") != 1:
        return  # nothing was logged at the first step: logging_steps is above 1 and nothing can be said
    low, high = _loss_bounds(recipe)
    rewards = [first[key] for key in ("rewards/chosen", "rewards/rejected") if key in first]
    found = f"loss {first['loss']:.4f}, kl {first.get('kl', 0):.4f}, rewards {rewards}"
    ok = low - TOLERANCE <= first["loss"] <= high + TOLERANCE and abs(first.get("kl", 0)) <= TOLERANCE * 10
    if not ok or not all(abs(reward) <= TOLERANCE for reward in rewards):
        raise UserError(
            f"KTO did not start at its reference: at step 1 {found}; expected a loss of {low:g} to {high:g} "
            f"and the rest 0. The reference model, dropout or a fused loss is wrong"
        )


def _loss_bounds(recipe: dict[str, Any]) -> tuple[float, float]:
    """Half the smaller and half the larger class weight; with automatic weights, which the data decide, any loss."""
    if (recipe.get("kto") or {}).get("auto_weights"):
        return 0.0, float("inf")
    keys = ("kto_desirable_weight", "kto_undesirable_weight")
    weights = [1.0 if recipe.get(key) is None else float(recipe[key]) for key in keys]
    return min(weights) / 2, max(weights) / 2
