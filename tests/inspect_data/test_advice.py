"""What is suggested for which data: each rule of the method, on the side of its limit where it changes."""

from pathlib import Path

import pytest
from answer_rows import row, write_rows

from kto_recipes.inspect_data.advice import Advice, advise, beta, schedule, sft
from kto_recipes.inspect_data.recipe_facts import RecipeFacts, recipe_facts
from kto_recipes.inspect_data.repeats import repeats
from kto_recipes.inspect_data.scan import Side, scan
from kto_recipes.rows import KtoRow

REPO = Path(__file__).parents[2]


def suggested(tmp_path: Path, rows: list[KtoRow]) -> dict[str, Advice]:
    write_rows(tmp_path / "kto.train.jsonl", rows)
    train = scan("train", tmp_path / "kto.train.jsonl", seed=0)
    return {advice.topic: advice for advice in advise(train, repeats(train), None)}


def pairs(number: int, strategy: str | None = None) -> list[KtoRow]:
    return [
        row(f"p{i}", f"{label} {i}", label, None if label else strategy)
        for i in range(number)
        for label in (True, False)
    ]


def singles(number: int, label: bool) -> list[KtoRow]:
    return [row(f"single {label} {i}", f"answer {i}", label) for i in range(number)]


def facts(base_model: str, has_sft: bool = True, rl_beta: float | None = None) -> RecipeFacts:
    return RecipeFacts("r", base_model, has_sft, rl_beta, None, None)


def test_clean_pairs_want_dpo(tmp_path: Path) -> None:
    assert suggested(tmp_path, pairs(100))["method"].choice.startswith("DPO")


def test_single_votes_want_kto(tmp_path: Path) -> None:
    found = suggested(tmp_path, singles(50, True) + singles(50, False))["method"]
    assert found.choice == "KTO"
    assert found.reason == "no prompt has both kinds"


def test_nine_prompts_of_ten_with_both_kinds_are_pairs(tmp_path: Path) -> None:
    paired = [*pairs(90), *singles(5, True), *singles(5, False)]
    assert suggested(tmp_path, paired)["method"].choice.startswith("DPO")
    one_more = [*paired, *singles(6, True)[5:]]
    assert suggested(tmp_path, one_more)["method"].choice == "KTO"


def test_contradictory_votes_want_kto_even_in_pairs(tmp_path: Path) -> None:
    contradiction = [row("p0", "True 0", False), row("p1", "True 1", False)]  # 4 of 202 rows
    found = suggested(tmp_path, [*pairs(100), *contradiction])["method"]
    assert found.choice == "KTO"
    assert found.reason == "2\N{NO-BREAK SPACE}% of the rows contradict another"


def test_unequal_classes_want_kto_even_in_pairs(tmp_path: Path) -> None:
    more = [row(f"p{i}", f"another {i}.{k}", False) for i in range(100) for k in range(2)]
    found = suggested(tmp_path, [*pairs(100), *more])["method"]
    assert (found.choice, found.reason) == ("KTO", "one class has 3 times as many rows as the other")


def test_made_answers_are_no_comparison_and_want_kto(tmp_path: Path) -> None:
    assert suggested(tmp_path, pairs(100, strategy="template"))["method"].choice == "KTO"


def test_good_answers_alone_want_undesirable_ones_and_nothing_is_said_of_kto(tmp_path: Path) -> None:
    found = suggested(tmp_path, singles(50, True))
    assert set(found) == {"method", "SFT"}
    assert found["method"].choice == "SFT alone, or make undesirable answers and then KTO"


def test_bad_answers_alone_are_good_for_nothing(tmp_path: Path) -> None:
    assert suggested(tmp_path, singles(50, False))["method"].choice == "neither yet"


def test_weights_are_those_of_the_rule(tmp_path: Path) -> None:
    found = suggested(tmp_path, singles(10, True) + singles(100, False))["weights"]
    assert found.choice == "λ_D = 10, λ_U = 1"  # one to ten


@pytest.mark.parametrize(
    ("base_model", "choice"),
    [
        ("meta-llama/Llama-3.1-8B", "SFT first, on desirable answers alone"),
        ("Qwen/Qwen2.5-3B-Instruct", "optional"),
        ("meta-llama/Llama-2-13b-hf", "optional"),
        ("mistralai/Mixtral-8x7B-v0.1", "SFT first, on desirable answers alone"),
        ("google/gemma-2-9b-it", "optional"),
        ("outputs/models/tiny-llama", "SFT first, on desirable answers alone"),
    ],
)
def test_sft_comes_first_for_small_base_models(base_model: str, choice: str) -> None:
    assert sft(facts(base_model)).choice == choice


def test_without_a_recipe_the_size_from_which_sft_can_be_skipped_is_told() -> None:
    assert sft(None).choice == "SFT first, on desirable answers alone, below about 13B"


@pytest.mark.parametrize(
    ("base_model", "has_sft", "choice"),
    [
        ("meta-llama/Llama-3.1-8B", True, "0.05 to 0.1"),
        ("meta-llama/Llama-3.1-8B", False, "0.1"),
        ("Qwen/Qwen2.5-3B-Instruct", True, "0.1, where both ranges meet"),
        ("Qwen/Qwen2.5-3B-Instruct", False, "0.1 to 0.5"),
    ],
)
def test_beta_follows_what_the_reference_is(base_model: str, has_sft: bool, choice: str) -> None:
    found = beta(facts(base_model, has_sft, rl_beta=0.25))
    assert found.choice == choice
    assert found.reason.endswith("the recipe has 0.25")


@pytest.mark.parametrize(
    ("rows", "choice", "steps"),
    [
        (299, "3 epochs, effective batch 8", "299 rows make 114 optimizer steps"),  # 38 an epoch
        (300, "3 epochs, effective batch 16", "300 rows make 57 optimizer steps"),  # 19 an epoch
        (999, "3 epochs, effective batch 16", "999 rows make 189 optimizer steps"),
        (1000, "2 epochs, effective batch 32", "1,000 rows make 64 optimizer steps"),
        (5000, "1 epoch, effective batch 32", "5,000 rows make 157 optimizer steps"),
    ],
)
def test_small_sets_want_more_epochs_and_smaller_batches(rows: int, choice: str, steps: str) -> None:
    found = schedule(Side("train", Path("kto.train.jsonl"), rows=rows))
    assert (found.choice, found.reason) == (choice, steps)


def test_every_suggestion_has_its_rule_and_its_source(tmp_path: Path) -> None:
    for advice in suggested(tmp_path, pairs(10)).values():
        assert advice.rule
        assert "arXiv 2402.01306" in advice.source


@pytest.mark.parametrize("recipe", sorted(REPO.glob("recipes/*/kto.yaml")), ids=lambda path: path.parent.name)
def test_the_repository_s_recipes_have_a_beta_within_what_is_suggested(recipe: Path) -> None:
    found = recipe_facts(recipe.parent)
    numbers = [float(word.rstrip(",")) for word in beta(found).choice.split() if word[0].isdigit()]
    assert min(numbers) <= found.beta <= max(numbers)


@pytest.mark.parametrize(
    ("base_model", "billions"),
    [("meta-llama/Llama-3.1-8B", 8.0), ("Qwen/Qwen2.5-0.5B-Instruct", 0.5), ("a/b", None), ("x/Llama_70b_chat", 70.0)],
)
def test_a_model_s_size_is_read_from_its_name(base_model: str, billions: float | None) -> None:
    assert facts(base_model).billions == billions
