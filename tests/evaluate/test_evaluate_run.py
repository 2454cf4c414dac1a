"""A whole evaluation of a small run: random models, a handful of rows, every figure of the contract."""

import shutil
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from small_runs import BETA, FIGURES, PROMPTS, SETTINGS, STYLE, evaluated, held_out, make_run
from tiny_models import LLAMA_RECIPE, trained_tokenizer
from transformers import AutoModelForCausalLM

from kto_recipes.evaluate import measured
from kto_recipes.evaluate.measure import EvalSettings
from kto_recipes.files import read_json
from kto_recipes.generation import Loaded, Sampling, completion_ids, generate, load, prompt_ids, text_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    run = make_run(tmp_path_factory.mktemp("evaluated"), models)
    wrote, announced, done = evaluated(run)
    assert wrote
    assert announced == done  # every progress bar ends full
    return run


@pytest.fixture(scope="module")
def result(run: Path) -> dict[str, Any]:
    return read_json(run / "eval.json")


def plain_logp(model: Any, prompt: list[int], answer: list[int]) -> float:
    """log π(answer | prompt) of one unpadded row, from all its logits."""
    with torch.no_grad():
        logps = model(torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
    return sum(float(logps[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))


def plain_rewards(models: Path, name: str, reference: str) -> tuple[float, float]:
    """Mean β·(log π − log π_ref) over desirable and over undesirable rows."""
    tokenizer = trained_tokenizer()
    policy, ref = (AutoModelForCausalLM.from_pretrained(models / folder).eval() for folder in (name, reference))
    rewards: dict[bool, list[float]] = {True: [], False: []}
    for held in held_out():
        loaded = Loaded(policy, tokenizer)
        ids = (
            prompt_ids(loaded, held["prompt"]),
            completion_ids(loaded, held["prompt"], held["completion"][0]["content"]),
        )
        rewards[held["label"]].append(BETA * (plain_logp(policy, *ids) - plain_logp(ref, *ids)))
    return sum(rewards[True]) / 5, sum(rewards[False]) / 4


def test_eval_json_has_the_keys_of_the_contract(result: dict[str, Any]) -> None:
    assert {"definitions", "models", "by_strategy", "by_source"} <= set(result)
    assert list(result["models"]) == ["base", "sft", "kto"]
    for model in result["models"].values():
        assert set(model) == FIGURES
        assert all(set(figure) == {"value", "low", "high", "n"} for figure in model.values())
    assert set(result["by_strategy"]) == {"template", "base_sample"}
    assert set(result["by_source"]) == {"telegram"}
    assert set(result["differences"]["kto-sft"]) == FIGURES
    assert set(result["definitions"]) > FIGURES
    assert "missing" not in result


def test_every_interval_holds_its_value_and_every_count_is_what_was_measured(result: dict[str, Any]) -> None:
    counts = {"reward_desirable": 5, "reward_undesirable": 4, "margin": 9, "auc": 9, "z0": 9, "accuracy_z0": 9}
    counts |= dict.fromkeys(["kl", "length", "repetition", "refusals", "style_sampled"], 10)
    counts |= dict.fromkeys(["distinct_1", "distinct_2", "style_greedy"], 5)
    for model in result["models"].values():
        assert {name: figure["n"] for name, figure in model.items()} == counts
        assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in model.values())


def test_the_sft_models_rewards_are_exactly_zero_because_it_is_the_reference(result: dict[str, Any]) -> None:
    assert result["reference"] == "sft"
    for name in ("reward_desirable", "reward_undesirable", "margin", "kl"):
        figure = result["models"]["sft"][name]
        assert (figure["value"], figure["low"], figure["high"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["base", "kto"])
def test_the_other_models_rewards_are_beta_times_the_log_ratio(result: dict[str, Any], models: Path, name: str) -> None:
    desirable, undesirable = plain_rewards(models, name, "sft")
    found = result["models"][name]
    assert abs(desirable) > 0.1  # or agreeing would show nothing
    assert found["reward_desirable"]["value"] == pytest.approx(desirable, abs=1e-3)
    assert found["reward_undesirable"]["value"] == pytest.approx(undesirable, abs=1e-3)
    assert found["margin"]["value"] == pytest.approx(desirable - undesirable, abs=2e-3)
    assert found["kl"]["value"] > 0


def test_kl_and_length_are_those_of_the_models_own_samples(run: Path, models: Path, result: dict[str, Any]) -> None:
    kto = load(str(models / "kto"), LLAMA_RECIPE)
    sft = load(str(models / "sft"), LLAMA_RECIPE)
    prompts = [prompt_ids(kto, held["prompt"]) for held in held_out()[:5] for _ in range(SETTINGS.samples_per_prompt)]
    samples = generate(kto, prompts, Sampling(SETTINGS.max_new_tokens, temperature=1.0), seed=SETTINGS.seed)
    lines = [orjson.loads(line) for line in (run / "samples.jsonl").read_bytes().splitlines()]
    assert [text_of(kto, ids) for ids in samples] == [
        text for line in lines for text in line["models"]["kto"]["sampled"]
    ]
    pairs = list(zip(prompts, samples, strict=True))
    ratios = [plain_logp(kto.model, *pair) - plain_logp(sft.model, *pair) for pair in pairs]
    assert result["models"]["kto"]["kl"]["value"] == pytest.approx(sum(ratios) / 10, abs=1e-3)
    assert result["models"]["kto"]["length"]["value"] == pytest.approx(sum(len(ids) for ids in samples) / 10)


def test_a_difference_is_kto_minus_sft(result: dict[str, Any]) -> None:
    sft, kto = result["models"]["sft"], result["models"]["kto"]
    for name, difference in result["differences"]["kto-sft"].items():
        assert difference["value"] == pytest.approx(kto[name]["value"] - sft[name]["value"])
    assert result["differences"]["kto-sft"]["margin"] == pytest.approx(kto["margin"])


def test_samples_jsonl_has_one_line_for_each_prompt_with_every_models_replies(run: Path) -> None:
    lines = [orjson.loads(line) for line in (run / "samples.jsonl").read_bytes().splitlines()]
    assert [line["prompt"][-1]["content"] for line in lines] == PROMPTS
    assert [line["reference"] for line in lines] == [f"nooo {prompt}" for prompt in PROMPTS]
    assert [line["id"] for line in lines] == ["0", "1", "2", "3", "4"]
    for line in lines:
        assert list(line["models"]) == ["base", "sft", "kto"]
        for replies in line["models"].values():
            assert isinstance(replies["greedy"], str)
            assert len(replies["sampled"]) == SETTINGS.samples_per_prompt


def test_variety_and_repetition_are_those_of_the_tokens_of_the_samples(
    run: Path, models: Path, result: dict[str, Any]
) -> None:
    kto = load(str(models / "kto"), LLAMA_RECIPE)
    end, expected = kto.tokenizer.eos_token_id, []
    for held in held_out()[:5]:
        expected.append([prompt_ids(kto, held["prompt"])] * SETTINGS.samples_per_prompt)
    flat = [prompt for prompts in expected for prompt in prompts]
    samples = generate(kto, flat, Sampling(SETTINGS.max_new_tokens), seed=SETTINGS.seed)
    said = [[token for token in ids if token != end] for ids in samples]
    for n in (1, 2):
        shares = []
        for first, second in zip(said[::2], said[1::2], strict=True):
            grams = [tuple(ids[at : at + n]) for ids in (first, second) for at in range(len(ids) - n + 1)]
            shares.append(len(set(grams)) / len(grams))
        found = result["models"]["kto"][f"distinct_{n}"]["value"]
        assert found == pytest.approx(sum(shares) / len(shares))
        assert n == 2 or found < 1
    assert result["models"]["kto"]["repetition"]["value"] == 0  # six tokens of a random model
    assert result["models"]["kto"]["refusals"]["value"] == 0


def test_held_out_jsonl_has_one_line_for_each_row_in_the_files_order(run: Path, models: Path) -> None:
    lines = [orjson.loads(line) for line in (run / "held_out.jsonl").read_bytes().splitlines()]
    rows = held_out()
    for line, held in zip(lines, rows, strict=True):
        assert list(line) == [
            *("id", "label", "strategy", "source", "prompt", "completion", "tokens", "logp", "reward"),
        ]
        assert (line["id"], line["label"], line["source"]) == (held["meta"]["id"], held["label"], "telegram")
        assert line["strategy"] == held["meta"].get("strategy")
        assert line["prompt"] == held["prompt"]
        assert line["completion"] == held["completion"][0]["content"]
    assert [line["strategy"] for line in lines] == [None] * 5 + ["base_sample", "template"] * 2


def test_held_out_jsonl_has_each_models_log_probability_and_its_reward(
    run: Path, models: Path, result: dict[str, Any]
) -> None:
    lines = [orjson.loads(line) for line in (run / "held_out.jsonl").read_bytes().splitlines()]
    loaded = {name: load(str(models / name), LLAMA_RECIPE) for name in ("base", "sft", "kto")}
    for line, held in zip(lines, held_out(), strict=True):
        answer = completion_ids(loaded["kto"], held["prompt"], held["completion"][0]["content"])
        assert line["tokens"] == len(answer)
        for name, model in loaded.items():
            plain = plain_logp(model.model, prompt_ids(model, held["prompt"]), answer)
            assert line["logp"][name] == pytest.approx(plain, abs=1e-3)
        reference = line["logp"]["sft"]
        assert line["reward"] == {name: BETA * (line["logp"][name] - reference) for name in ("base", "sft", "kto")}
    for label, name in ((True, "reward_desirable"), (False, "reward_undesirable")):
        mean = [line["reward"]["kto"] for line in lines if line["label"] is label]
        assert result["models"]["kto"][name]["value"] == pytest.approx(sum(mean) / len(mean))


# --- what is done once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sft", [True, False])
def test_each_model_is_loaded_exactly_once_and_gone_before_the_next(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, sft: bool
) -> None:
    """Also the base model, whose replies the style classifier learns from."""
    loads: Counter[str] = Counter()
    weights: list[weakref.ref] = []

    def counted(model: str, *arguments: Any, **options: Any) -> Loaded:
        assert all(earlier() is None for earlier in weights), "two models are in memory at once"
        loads[model] += 1
        loaded = load(model, *arguments, **options)
        weights.append(weakref.ref(loaded.model))
        return loaded

    monkeypatch.setattr(measured, "load", counted)
    run = make_run(tmp_path, models, sft=sft)
    evaluated(run)
    started = [str(run / "sft" / "merged")] if sft else []
    assert loads == Counter([str(models / "base"), *started, str(run / "kto" / "merged")])
    assert read_json(run / "eval.json")["style_classifier"]["n_train"] > 0
    (run / "eval.json").unlink()  # as if killed just before it was written
    evaluated(run)
    assert loads.total() == 2 + sft


def test_a_second_evaluation_does_nothing_and_loads_no_model(run: Path, result: dict[str, Any]) -> None:
    assert evaluated(run) == (False, {}, {})
    assert read_json(run / "eval.json") == result


def test_other_settings_or_another_model_are_evaluated_anew(tmp_path: Path, run: Path, models: Path) -> None:
    copy = make_run(tmp_path, models)
    for name in ("eval.json", "samples.jsonl", "held_out.jsonl"):
        shutil.copy(run / name, copy / name)
    assert evaluated(copy)[0] is False  # the same models and rows in another folder
    assert evaluated(copy, EvalSettings(samples_per_prompt=1, max_new_tokens=2, style_train_prompts=2))[0] is True
    shutil.copy(run / "eval.json", copy / "eval.json")
    shutil.copy(models / "base" / "model.safetensors", copy / "kto" / "merged" / "model.safetensors")
    assert evaluated(copy)[0] is True
    found = read_json(copy / "eval.json")["models"]
    assert found["kto"] == found["base"]


def test_a_line_for_each_row_that_is_not_there_is_written_again(tmp_path: Path, run: Path, models: Path) -> None:
    copy = make_run(tmp_path, models)
    shutil.copytree(run / "eval", copy / "eval")
    for name in ("eval.json", "samples.jsonl"):
        shutil.copy(run / name, copy / name)
    assert evaluated(copy)[0] is True
    assert (copy / "held_out.jsonl").read_bytes() == (run / "held_out.jsonl").read_bytes()
    assert (copy / "samples.jsonl").read_bytes() == (run / "samples.jsonl").read_bytes()


def test_after_another_training_of_kto_only_what_depends_on_it_is_measured(
    tmp_path: Path, run: Path, models: Path
) -> None:
    copy = make_run(tmp_path, models)
    shutil.copytree(run / "eval", copy / "eval")
    shutil.copy(models / "base" / "model.safetensors", copy / "kto" / "merged" / "model.safetensors")
    evaluated(copy)
    changed = {
        path.stem for path in (copy / "eval").iterdir() if path.read_bytes() != (run / "eval" / path.name).read_bytes()
    }
    parts = {"matched", "mismatched", "greedy", "sampled", "own"}
    assert changed == {f"kto-{part}" for part in parts} | {"sft-of-kto"}


def test_the_same_run_evaluated_twice_has_the_same_figures(
    tmp_path: Path, models: Path, result: dict[str, Any]
) -> None:
    again = make_run(tmp_path, models)
    evaluated(again)
    assert read_json(again / "eval.json")["models"] == result["models"]


def test_a_run_without_sft_has_its_base_model_as_reference(tmp_path: Path, models: Path) -> None:
    run = make_run(tmp_path, models, sft=False)
    assert evaluated(run)[0] is True
    result = read_json(run / "eval.json")
    assert result["reference"] == "base"
    assert list(result["models"]) == ["base", "kto"]
    assert list(result["differences"]) == ["kto-base"]
    assert result["models"]["base"]["margin"]["value"] == 0.0
    desirable, _ = plain_rewards(models, "kto", "base")
    assert result["models"]["kto"]["reward_desirable"]["value"] == pytest.approx(desirable, abs=1e-3)


@pytest.mark.parametrize("source", ["whatsapp", "discord"])
def test_the_style_of_a_persona_is_measured_whatever_the_chat_was_exported_from(
    tmp_path: Path, models: Path, source: str
) -> None:
    run = make_run(tmp_path, models, source=source)
    evaluated(run)
    result = read_json(run / "eval.json")
    assert all(set(model) == FIGURES for model in result["models"].values())
    assert result["style_classifier"]["n_train"] > 0


def test_votes_have_no_persona_and_so_no_style(tmp_path: Path, models: Path) -> None:
    run = make_run(tmp_path, models, source="trl_unpaired")
    evaluated(run)
    result = read_json(run / "eval.json")
    assert all(set(model) == FIGURES - STYLE for model in result["models"].values())
    assert "style_classifier" not in result
    assert list(result["missing"]) == ["style"]
    assert "not a persona's chats (source trl_unpaired)" in result["missing"]["style"]
