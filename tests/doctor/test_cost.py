"""Time and cost from measured speed, counted by hand; unknown where nothing was measured."""

from pathlib import Path
from typing import Any

import pytest
from plans import make_plan, result_of
from tiny_models import llama_tokenizer, trained_tokenizer

from kto_recipes.doctor.cost import cost_finding, duration, train_tokens
from kto_recipes.doctor.machine import Gpu
from kto_recipes.doctor.plan import Plan
from kto_recipes.recipe.results import Result
from kto_recipes.rows import read_kto, read_sft

H200 = Gpu("NVIDIA H200", 143771 / 1024, "580.105.08", (9, 0))


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    llama_tokenizer().save_pretrained(tmp_path / "base")
    return make_plan(tmp_path, str(tmp_path / "base"), {"num_epochs": 2}, price=3.0)


def measured(plan: Plan, stage: str, speed: float, /, **changes: Any) -> Result:
    return result_of(stage, plan.stages[stage], **({"tokens_per_s": speed} | changes))


def test_the_tokens_of_an_epoch_are_those_of_the_rendered_rows_that_fit(plan: Plan) -> None:
    tokenizer = trained_tokenizer()

    def length(messages: list[Any]) -> int:
        return len(tokenizer.apply_chat_template(messages, return_dict=False))

    sft = [length(row["messages"]) for row in read_sft(plan.dataset / "sft.train.jsonl")]
    assert train_tokens(plan, "sft") == sum(sft)
    plan.stages["sft"]["sequence_len"] = sorted(sft)[9]
    assert train_tokens(plan, "sft") == sum(sorted(sft)[:10])


def test_where_undesirable_answers_are_still_to_be_made_as_many_are_counted(plan: Plan) -> None:
    positives = len(read_kto(plan.dataset / "positives.train.jsonl"))
    rows = plan.kto_rows()
    assert sorted(row["label"] for row in rows) == [False] * positives + [True] * positives
    assert train_tokens(plan, "kto") == pytest.approx(2 * train_tokens(plan, "sft"), rel=0.02)


def test_time_is_tokens_times_epochs_over_speed_and_cost_is_time_times_price(plan: Plan) -> None:
    sft, kto = train_tokens(plan, "sft"), train_tokens(plan, "kto")
    # speeds with which SFT takes one hour and KTO half an hour
    results = [measured(plan, "sft", 2 * sft / 3600), measured(plan, "kto", 2 * kto / 1800)]
    finding = cost_finding(plan, [H200], results)
    assert finding.status == "ok"
    assert finding.message == "training takes about 1 h 30 min and costs about $4.50 at $3.00 an hour"


def test_without_a_price_only_the_time_is_told(plan: Plan) -> None:
    results = [
        measured(plan, "sft", 2 * train_tokens(plan, "sft") / 60),
        measured(plan, "kto", 2 * train_tokens(plan, "kto") / 60),
    ]
    finding = cost_finding(Plan(plan.recipe, plan.dataset, plan.run), [H200], results)
    assert finding.message.startswith("training takes about 2 min;")
    assert "$" not in finding.message


def test_a_speed_with_lengths_as_in_chats_goes_before_one_with_the_longest_rows(plan: Plan) -> None:
    fast = 2 * (train_tokens(plan, "sft") + train_tokens(plan, "kto")) / 3600
    rows = [measured(plan, stage, fast, lengths="mixed") for stage in ("sft", "kto")]
    rows += [measured(plan, stage, fast / 10, lengths="full") for stage in ("sft", "kto")]
    assert "1 h 0 min" in cost_finding(plan, [H200], rows).message
    assert "10 h 0 min" in cost_finding(plan, [H200], rows[2:]).message


@pytest.mark.parametrize(
    "other",
    [
        {"gpu": "NVIDIA H100 80GB HBM3"},
        {"gpus": 8},
        {"sequence_len": 1024},
        {"micro_batch_size": 2},
        {"outcome": "oom", "tokens_per_s": None},
        {"stage": "sft"},
    ],
)
def test_what_was_measured_otherwise_says_nothing(plan: Plan, other: dict[str, Any]) -> None:
    results = [measured(plan, "sft", 100), measured(plan, "kto", 100, **other)]
    finding = cost_finding(plan, [H200], results)
    assert (finding.status, "unknown" in finding.message, "KTO" in finding.message) == ("warning", True, True)


def test_without_a_gpu_or_results_it_is_unknown(plan: Plan) -> None:
    assert "unknown" in cost_finding(plan, [], [measured(plan, "sft", 1), measured(plan, "kto", 1)]).message
    assert "unknown" in cost_finding(plan, [H200], []).message


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "1 min"), (2400, "40 min"), (3600, "1 h 0 min"), (4799, "1 h 20 min")]
)
def test_a_duration_is_said_in_hours_and_minutes(seconds: float, said: str) -> None:
    assert duration(seconds) == said
