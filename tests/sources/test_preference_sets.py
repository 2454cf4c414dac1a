"""Preference sets of other projects: LLaMA-Factory, OpenAI, HH-RLHF, StackExchange, GSM8K's model solutions."""

from typing import Any

import pytest
from training_rows import answers, counts, reasons, records, turns

from kto_recipes.errors import UserError
from kto_recipes.sources import gsm8k_solutions, hh_rlhf, llama_factory, openai_preference, stack_exchange

BOTH = [(turns("2+2?"), "4", True), (turns("2+2?"), "5", False)]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


# --- LLaMA-Factory ------------------------------------------------------------------------------------------


def sharegpt(*texts: str) -> list[dict[str, str]]:
    return [{"from": "gpt" if number % 2 else "human", "value": text} for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": turns("a", "b", "c", "d"), "label": False},
        {"conversations": sharegpt(*"abcd"), "kto_tag": False},
        {"conversations": sharegpt(*"abcd"), "kto_tag": 0},  # LLaMA-Factory trains on this one as if it were good
        {"conversations": sharegpt(*"abcd"), "kto_tag": "false"},
    ],
)
def test_a_conversation_with_a_tag_is_its_last_reply_rated(tmp_path, row):
    assert answers(records(llama_factory, tmp_path, row)) == [(turns("a", "b", "c"), "d", False)]


def test_a_tag_of_another_name_is_mapped(tmp_path):
    row = {"conversations": sharegpt("a", "b"), "thumb": "up"}
    assert counts(records(llama_factory, tmp_path, row, fields={"label": "thumb"})) == {"good": 1}


@pytest.mark.parametrize(
    "row",
    [
        {
            "conversations": sharegpt("2+2?"),
            "chosen": {"from": "gpt", "value": "4"},
            "rejected": {"from": "gpt", "value": "5"},
        },
        {"messages": turns("2+2?"), "chosen": assistant("4")[0], "rejected": assistant("5")[0]},
        {
            side: [
                {"role": role, "content": [{"type": "text", "value": text}], "loss_weight": weight}
                for role, text, weight in (("user", "2+2?", 0.0), ("assistant", answer, 1.0))
            ]
            for side, answer in (("chosen_messages", "4"), ("rejected_messages", "5"))
        },
    ],
)
def test_llama_factory_pairs_are_read_in_their_old_and_their_new_form(tmp_path, row):
    assert answers(records(llama_factory, tmp_path, row)) == BOTH


@pytest.mark.parametrize(
    ("conversation", "reason"),
    [
        (sharegpt("a", "b", "c"), "no reply"),
        ([*sharegpt("a"), *sharegpt("a", "b")], "broken role order"),
        ([*sharegpt("a"), {"from": "observation", "value": "x"}, *sharegpt("a", "b")[1:]], "tool calls"),
    ],
)
def test_a_conversation_out_of_order_is_left_out_and_not_trained_on_empty(tmp_path, conversation, reason):
    assert reasons(records(llama_factory, tmp_path, {"conversations": conversation, "label": True})) == [reason]


# --- OpenAI preference, HH-RLHF, StackExchange, GSM8K -------------------------------------------------------


def test_openai_preference_has_the_conversation_under_input(tmp_path):
    row = {
        "input": {"messages": turns("2+2?", system="s"), "tools": [], "parallel_tool_calls": True},
        "preferred_output": assistant("4"),
        "non_preferred_output": assistant("5"),
    }
    expected = [(turns("2+2?", system="s"), "4", True), (turns("2+2?", system="s"), "5", False)]
    assert answers(records(openai_preference, tmp_path, row)) == expected
    with pytest.raises(UserError, match="input is text; expected an object with messages"):
        records(openai_preference, tmp_path, row | {"input": "2+2?"})


def hh(chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    return {"chosen": chosen, "rejected": rejected, **more}


def test_the_last_assistant_block_is_the_answer_of_an_hh_dialogue(tmp_path):
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    found = answers(records(hh_rlhf, tmp_path, hh(f"{start} Do it.", f"{start} Don't.")))
    assert found == [(turns("a", "b", "c"), "Do it.", True), (turns("a", "b", "c"), "Don't.", False)]


def test_a_speakers_name_inside_a_line_or_after_one_line_break_opens_no_block(tmp_path):
    said = "He wrote Human: no.\nAssistant: neither"
    start = f"\n\nHuman: {said}\n\nAssistant:"
    found = answers(records(hh_rlhf, tmp_path, hh(f"{start} {said}", f"{start} y")))
    assert found == [(turns(said), said, True), (turns(said), "y", False)]


def test_only_the_one_space_of_the_format_is_taken_from_a_block(tmp_path):
    found = answers(records(hh_rlhf, tmp_path, hh("\n\nHuman:a\n\nAssistant:  b\n", "\n\nHuman:a\n\nAssistant: c")))
    assert found == [(turns("a"), " b\n", True), (turns("a"), "c", False)]


def test_a_copy_with_the_dialogue_in_prompt_is_read_like_the_original(tmp_path):
    found = records(hh_rlhf, tmp_path, hh(" b", " c", prompt="\n\nHuman: a\n\nAssistant:"))
    assert answers(found) == [(turns("a"), "b", True), (turns("a"), "c", False)]


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        ("\n\nHuman: a\n\nAssistant:", "\n\nHuman: a\n\nAssistant: c", {"empty answer": 1, "bad": 1}),
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: x\n\nAssistant: c", {"prompts differ": 1}),
        ("\n\nHuman: a\n\nAssistant: b\n\nAssistant: c", "\n\nHuman: a\n\nAssistant: c", {"prompts differ": 1}),
        (
            "\n\nHuman: a\n\nHuman: b\n\nAssistant: c",
            "\n\nHuman: a\n\nHuman: b\n\nAssistant: d",
            {"broken role order": 1},
        ),
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "\n\nHuman: a\n\nAssistant: b", {"no reply": 1}),
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant: b", {"same answer twice": 1}),
    ],
)
def test_the_special_cases_of_hh_dialogues(tmp_path, chosen, rejected, expected):
    assert counts(records(hh_rlhf, tmp_path, hh(chosen, rejected))) == expected


def test_the_better_of_two_posts_is_response_j(tmp_path):
    row = {"qid": 1, "question": "2+2?", "response_j": "4", "response_k": "5"}
    assert answers(records(stack_exchange, tmp_path, row)) == BOTH


def test_each_model_solution_is_rated_by_its_own_mark(tmp_path):
    row = {
        "question": "2+2?",
        "ground_truth": "4",
        "6b": {"is_correct": True, "solution": "4"},
        "175b": {"is_correct": False, "solution": "5"},
        "other": {"is_correct": False, "solution": "4"},
    }
    assert answers(records(gsm8k_solutions, tmp_path, row)) == [*BOTH, (turns("2+2?"), "4", False)]
