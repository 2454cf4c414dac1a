"""Before its first update KTO's policy is its reference: loss λ·σ(0) = λ/2, kl 0 and rewards 0."""

from typing import Any

import pytest

from kto_recipes.errors import UserError
from kto_recipes.stages.invariant import check_first_step

FIRST: dict[str, Any] = {"step": 1, "loss": 0.5, "kl": 0.0, "rewards/chosen": 0.0, "rewards/rejected": 0.0}
EVEN: dict[str, Any] = {"rl": "kto"}
UNEVEN: dict[str, Any] = {"rl": "kto", "kto_desirable_weight": 1.6, "kto_undesirable_weight": 1.2}


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        (EVEN, {}),
        (EVEN, {"loss": 0.5004, "kl": 0.002, "rewards/chosen": -0.003}),  # what bf16 rounds
        ({**EVEN, "kto_desirable_weight": 0}, {}),  # Axolotl reads 0 as 1
        (UNEVEN, {"loss": 0.6}),  # a batch of undesirable rows
        (UNEVEN, {"loss": 0.7}),
        (UNEVEN, {"loss": 0.8}),  # a batch of desirable rows
    ],
)
def test_a_first_step_at_the_reference_holds(recipe: dict[str, Any], changes: dict[str, Any]) -> None:
    check_first_step([FIRST | changes], recipe)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        (EVEN, {"loss": 0.45}),
        (EVEN, {"loss": 0.55}),
        (EVEN, {"loss": float("nan")}),
        (EVEN, {"kl": 0.5}),
        (EVEN, {"kl": -0.5}),
        (EVEN, {"kl": float("nan")}),
        (EVEN, {"rewards/chosen": 0.05}),
        (EVEN, {"rewards/rejected": -0.05}),
        (EVEN, {"rewards/rejected": float("nan")}),
        (EVEN, {"rewards/chosen": 1.9, "rewards/rejected": -1.9}),  # a fused loss without reference
        (UNEVEN, {"loss": 0.5}),  # the weights did not arrive
        (UNEVEN, {"loss": 0.85}),
    ],
)
def test_a_first_step_away_from_the_reference_is_refused(recipe: dict[str, Any], changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="did not start at its reference"):
        check_first_step([FIRST | changes], recipe)


def test_the_message_says_what_was_found_and_what_was_expected() -> None:
    with pytest.raises(UserError, match=r"loss 0\.4000.*a loss of 0\.6 to 0\.8"):
        check_first_step([FIRST | {"loss": 0.4}], UNEVEN)


def test_a_batch_of_one_class_logs_one_reward() -> None:
    one = {key: value for key, value in FIRST.items() if key != "rewards/rejected"}
    check_first_step([one], EVEN)
    with pytest.raises(UserError):
        check_first_step([one | {"rewards/chosen": 1.0}], EVEN)


def test_only_the_first_training_log_counts() -> None:
    evaluation = {"step": 1, "eval_loss": 9.0, "eval_kl": 9.0}
    later = FIRST | {"step": 2, "loss": 0.2, "kl": 3.0, "rewards/chosen": 2.0}
    check_first_step([evaluation, FIRST, later], EVEN)


def test_where_the_first_step_was_not_logged_nothing_is_said() -> None:
    check_first_step([FIRST | {"step": 10, "loss": 0.2}], EVEN)
    check_first_step([{"step": 4, "train_loss": 0.3}], EVEN)
    check_first_step([], EVEN)


def test_a_weight_of_0_is_a_0() -> None:
    recipe = EVEN | {"kto_undesirable_weight": 0}
    check_first_step([FIRST | {"loss": 0.25}], recipe)  # half of the rows count, each with 1/2
    with pytest.raises(UserError, match=r"a loss of 0 to 0\.5"):
        check_first_step([FIRST | {"loss": 0.6}], recipe)


def test_automatic_weights_leave_the_loss_open_and_the_rewards_not() -> None:
    recipe = {"kto": {"auto_weights": True}}
    check_first_step([FIRST | {"loss": 1.7}], recipe)
    with pytest.raises(UserError):
        check_first_step([FIRST | {"loss": 1.7, "rewards/chosen": 0.05}], recipe)
