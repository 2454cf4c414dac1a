"""Real training and preference sets, each recognised by its content; the counts were made without the importers."""

from pathlib import Path

import pytest
from training_rows import counts, stop

from kto_recipes.sources import alpaca, hh_rlhf, trl_paired
from kto_recipes.sources.hub import ROW_FORMATS
from kto_recipes.sources.records import Dialogue, Rated, ReadOptions, Record


def read(path: Path) -> tuple[str, list[Record]]:
    """The name of the first format that knows the file, and its records."""
    head = path.read_bytes()[: 64 * 1024]
    source = next(source for source in ROW_FORMATS if source.looks_like(head, path))
    return source.NAME, list(source.read(path, ReadOptions(on_trouble=stop)))


@pytest.mark.parametrize(
    ("name", "expected_format", "expected"),
    [
        ("llama-factory/kto_en_demo.json", "llama_factory", {"good": 150, "bad": 150}),
        ("llama-factory/v1_dpo_demo.jsonl", "llama_factory", {"good": 10, "bad": 10}),
        ("llama-factory/glaive_toolcall_en_demo.json", "sharegpt", {"dialogue": 147, "tool calls": 153}),
        ("torchtune/chat_tiny.json", "sharegpt", {"dialogue": 1}),
        ("torchtune/hh_rlhf_tiny.json", "trl_paired", {"good": 1, "bad": 1}),
        ("torchtune/stack_exchange_paired_tiny.json", "stack_exchange", {"good": 25, "bad": 25}),
        ("gsm8k/example_model_solutions.open.jsonl", "gsm8k_solutions", {"good": 525, "bad": 923}),
        (
            "hh-rlhf/harmless-base.test.open.jsonl",
            "hh_rlhf",
            # 583 pairs: in one the earlier turns differ; two chosen answers are empty
            {"good": 580, "bad": 582, "empty answer": 2, "prompts differ": 1},
        ),
    ],
)
def test_every_record_of_a_real_set_is_read_or_counted(real_data, name, expected_format, expected):
    found_format, found = read(real_data / name)
    assert (found_format, counts(found)) == (expected_format, expected)


def test_the_kto_demo_has_77_conversations_of_several_turns_and_297_openings(real_data):
    _, found = read(real_data / "llama-factory" / "kto_en_demo.json")
    lengths = [len(record.prompt) for record in found if isinstance(record, Rated)]
    assert {length: lengths.count(length) for length in set(lengths)} == {1: 223, 3: 3, 5: 47, 7: 22, 9: 1, 11: 4}
    assert len({record.conversation for record in found}) == 297
    assert found[0].where.endswith("kto_en_demo.json: record 1")


def test_the_v1_demo_keeps_its_system_turns_and_the_space_before_an_answer(real_data):
    _, found = read(real_data / "llama-factory" / "v1_dpo_demo.jsonl")
    assert all([message["role"] for message in record.prompt] == ["system", "user"] for record in found)
    assert found[0].prompt == found[1].prompt
    assert found[1].completion.startswith(" Abdulah Hasanagic is the proud owner of AS Company, a small town")


def test_the_dialogues_without_tool_calls_are_whole(real_data):
    _, found = read(real_data / "llama-factory" / "glaive_toolcall_en_demo.json")
    lengths = [len(record.messages) for record in found if isinstance(record, Dialogue)]
    expected = {2: 39, 4: 39, 6: 13, 8: 9, 10: 40, 12: 6, 14: 1}
    assert {length: lengths.count(length) for length in set(lengths)} == expected


def test_hh_answers_hold_no_turn_of_the_next_speaker_and_openings_group_them(real_data):
    _, found = read(real_data / "hh-rlhf" / "harmless-base.test.open.jsonl")
    rated = [record for record in found if isinstance(record, Rated)]
    assert not any("\n\nHuman:" in record.completion for record in rated)
    # 554 different first turns in 583 pairs, one of which is only in the pair whose turns differ
    assert len({record.conversation for record in rated}) == 553


def test_an_hh_file_is_not_taken_for_pairs_without_a_prompt(real_data):
    path = real_data / "hh-rlhf" / "harmless-base.test.open.jsonl"
    order = list(ROW_FORMATS)
    assert hh_rlhf.looks_like(b"", path)
    assert order.index(hh_rlhf) < order.index(trl_paired)
    assert order.index(alpaca) < order.index(trl_paired)
