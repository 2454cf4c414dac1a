"""Batches: every row once, those of similar length together, and no more of them than memory has room for."""

import random

import pytest
from tiny_models import loaded_llama
from transformers import LlamaConfig, Qwen2Config

from kto_recipes.batches import (
    Room,
    batches_by_length,
    bytes_per_logits,
    bytes_per_token,
    scoring_batches,
    token_budget,
)
from kto_recipes.random_model import REAL


def test_batches_hold_every_index_once_longest_first() -> None:
    assert list(batches_by_length([3, 9, 1, 9, 4], 2)) == [[1, 3], [4, 0], [2]]
    assert list(batches_by_length([], 2)) == []


def test_a_batch_holds_no_more_tokens_than_there_is_room_for_but_one_row_at_least() -> None:
    lengths = [3, 9, 1, 9, 4, 30]
    # padded to the longest: 30 alone is too long and goes all the same; 2 × 9 ≤ 20; then 4 + 4 + 4
    assert list(batches_by_length(lengths, 10, tokens=20)) == [[5], [1, 3], [4, 0, 2]]
    assert list(batches_by_length(lengths, 2, tokens=10**9)) == [[5, 1], [3, 4], [0, 2]]
    assert list(batches_by_length(lengths, 2, tokens=0)) == [[5], [1], [3], [4], [0], [2]]


def test_a_tokens_memory_is_what_the_models_shape_says() -> None:
    # Llama 3.1 8B in bfloat16: 32 layers × 8 heads × 128 × keys and values × 2 bytes
    llama = LlamaConfig(**REAL["llama"])
    assert 32 * 8 * 128 * 2 * 2 == 131_072
    assert bytes_per_token(llama, 2) == 131_072 + (3 * 14336 + 6 * 4096) * 2
    # Qwen2.5 3B, whose configuration does not say the head's size: 2048 / 16 = 128
    qwen = Qwen2Config(**REAL["qwen"])
    assert bytes_per_token(qwen, 2) == (36 * 2 * 128 * 2 + 3 * 11008 + 6 * 2048) * 2


def test_on_a_cpu_there_is_no_budget() -> None:
    assert token_budget(loaded_llama(seed=1).model) is None


def test_scoring_takes_the_vocabulary_into_account() -> None:
    # Llama 3.1 8B in bfloat16: logits of two bytes, then of four, then their log-softmax of four
    assert bytes_per_logits(LlamaConfig(**REAL["llama"]), 2) == 128_256 * 10
    # 32 answers of 300 tokens after prompts of 200: 12.3 GB of logits, and 4.3 GB of everything else
    room = Room(total=16 * 10**9, per_token=266_240, per_logits=128_256 * 10)
    assert room.per_token == bytes_per_token(LlamaConfig(**REAL["llama"]), 2)
    assert not room.holds(32, 500, 300)
    assert room.holds(30, 500, 300)
    assert room.holds(60, 500, 0)


def test_without_a_gpu_answers_are_scored_in_the_batches_of_their_length() -> None:
    lengths = [(1, 2), (4, 5), (0, 1), (8, 1), (1, 3)]
    assert list(scoring_batches(lengths, 2, None)) == [[1, 3], [4, 0], [2]]
    assert list(scoring_batches(lengths, 2, None)) == list(batches_by_length([p + c for p, c in lengths], 2))
    assert list(scoring_batches([], 2, None)) == []


def test_a_batch_that_is_scored_finds_room_with_its_longest_answer_but_holds_one_row_at_least() -> None:
    lengths = [(90, 10), (10, 80), (60, 10), (50, 10), (10, 10), (300, 700)]
    room = Room(total=1000, per_token=1, per_logits=10)
    # 1,000 tokens and 701 logits find no room and go alone. 100 + 11 × 10 for the next, of which two would do; but the
    # second's 80 tokens would be scored in both rows: 2 × (100 + 81 × 10). By itself it takes 90 + 810, with another
    # 1,800. Then 70 + 11 × 10 a row: three of them.
    assert list(scoring_batches(lengths, 32, room)) == [[5], [0], [1], [2, 3, 4]]
    assert list(scoring_batches(lengths, 2, room)) == [[5], [0], [1], [2, 3], [4]]
    assert list(scoring_batches(lengths, 32, Room(0, 1, 10))) == [[5], [0], [1], [2], [3], [4]]
    assert list(scoring_batches(lengths, 32, Room(10**9, 1, 10))) == [[5, 0, 1, 2, 3, 4]]


@pytest.mark.parametrize("seed", range(20))
def test_no_batch_of_several_rows_takes_more_than_there_is_room_for(seed: int) -> None:
    draw = random.Random(seed)
    lengths = [(draw.randint(1, 300), draw.randint(1, 200)) for _ in range(50)]
    room = Room(draw.randint(1000, 50_000), per_token=draw.randint(0, 5), per_logits=draw.randint(0, 20))
    batches = list(scoring_batches(lengths, 8, room))
    assert sorted(index for batch in batches for index in batch) == list(range(50))
    for batch in batches:
        width, longest = max(sum(lengths[i]) for i in batch), max(lengths[i][1] for i in batch)
        taken = len(batch) * (width * room.per_token + (longest + 1) * room.per_logits)
        assert len(batch) == 1 or (len(batch) <= 8 and taken <= room.total)
