"""The demo's base model: a tokenizer and an architecture like Llama 3.1's, and a corpus in a formal manner."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import SMALL, llama_tokenizer

from kto_recipes.rows import Message
from kto_recipes.tiny.corpus import conversations
from kto_recipes.tiny.model import new_model, train
from kto_recipes.tiny.tokenizer import SPECIAL_TOKENS, train_tokenizer

CORPUS = conversations(300, seed=0)

# --- corpus -------------------------------------------------------------------------------------------------


def said_by(role: str) -> list[str]:
    return [m["content"] for conversation in CORPUS for m in conversation if m["role"] == role]


def test_the_seed_decides_the_corpus() -> None:
    assert conversations(20, seed=3) == conversations(20, seed=3)
    assert conversations(20, seed=3) != conversations(20, seed=4)
    assert len(CORPUS) == 300


def test_a_conversation_alternates_from_the_user_to_the_assistant() -> None:
    for conversation in CORPUS:
        roles = [message["role"] for message in conversation]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert 1 <= len(turns) // 2 <= 3


def test_no_slot_is_left_unfilled_and_no_message_is_empty() -> None:
    contents = [m["content"] for conversation in CORPUS for m in conversation]
    assert [content for content in contents if re.search(r"[{}]", content) or not content.strip()] == []


def test_the_assistant_writes_whole_sentences_without_emoji_or_drawn_out_vowels() -> None:
    informal = re.compile(r"[\U0001F300-\U0001FAFF\u2600-\u27BF]|([aeiou])\1\1|!!|\.\.\.|~")
    assert [reply for reply in said_by("assistant") if informal.search(reply)] == []
    assert all(reply[0].isupper() and reply[-1] in ".?!" for reply in said_by("assistant"))


def test_the_user_writes_in_many_hands() -> None:
    asked = said_by("user")
    assert any(text == text.lower() for text in asked)
    assert any(re.search(r"[\U0001F300-\U0001FAFF]", text) for text in asked)
    assert any(text != text.lower() for text in asked)


def test_the_system_prompt_of_the_persona_data_is_among_those_it_learns() -> None:
    pattern = re.compile(r"You are \w+, chatting with \w+\. Respond naturally in their conversational style\.")
    assert any(pattern.fullmatch(prompt) for prompt in said_by("system"))


# --- tokenizer ----------------------------------------------------------------------------------------------


def test_the_tokenizer_begins_every_text_with_one_bos_and_ends_it_with_nothing() -> None:
    tokenizer = llama_tokenizer()
    for text in ("", "hello", " \n"):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert not set(ids[1:]) & {tokenizer.bos_token_id, tokenizer.eos_token_id}
    assert tokenizer("")["input_ids"] == [tokenizer.bos_token_id]


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_each_special_token_is_one_id(token: str) -> None:
    tokenizer = llama_tokenizer()
    (token_id,) = tokenizer(token, add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(token_id) == token
    assert token_id in tokenizer(f"a{token}b", add_special_tokens=False)["input_ids"]


@given(st.text(max_size=40))
def test_any_text_is_read_back_from_its_tokens(text: str) -> None:
    tokenizer = llama_tokenizer()
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_like_llamas_base_tokenizer_it_has_no_template_and_the_vocabulary_asked_for() -> None:
    tokenizer = llama_tokenizer()
    assert tokenizer.chat_template is None
    assert tokenizer.eos_token == "<|end_of_text|>"
    assert len(tokenizer) == SMALL.vocab_size


def test_the_same_texts_make_the_same_tokenizer() -> None:
    texts = [m["content"] for conversation in CORPUS[:50] for m in conversation]
    first, second = train_tokenizer(texts, 350), train_tokenizer(texts, 350)
    assert first.get_vocab() == second.get_vocab()
    assert first(texts)["input_ids"] == second(texts)["input_ids"]


# --- model --------------------------------------------------------------------------------------------------

SETTINGS = replace(SMALL, threads=1, warmup=0.3)


def test_the_architecture_is_llama_31s_in_miniature() -> None:
    config = new_model(llama_tokenizer(), SETTINGS).config
    assert config.architectures in (None, ["LlamaForCausalLM"])
    assert config.model_type == "llama"
    assert config.num_attention_heads == 3 * config.num_key_value_heads  # grouped-query attention
    assert config.tie_word_embeddings is False
    assert config.rope_parameters["rope_theta"] == 500000.0
    assert config.vocab_size == SMALL.vocab_size


def trained(corpus: list[list[Message]]) -> tuple[dict[str, torch.Tensor], list[tuple[int, int, float]]]:
    steps: list[tuple[int, int, float]] = []
    tokenizer = llama_tokenizer()
    model = train(tokenizer, corpus, SETTINGS, lambda *step: steps.append(step))
    assert tokenizer.chat_template is None  # it is saved as a base model's
    assert not model.training
    return model.state_dict(), steps


def test_training_lowers_the_loss_and_is_repeatable_to_the_bit() -> None:
    weights, steps = trained(CORPUS[:120])
    assert [(step, total) for step, total, _ in steps] == [(n, 15) for n in range(1, 16)]
    losses = [loss for _, _, loss in steps]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    again, _ = trained(CORPUS[:120])
    assert all(torch.equal(weights[name], again[name]) for name in weights)
