"""Generation and scoring: a batch gives what each prompt gives alone, and what the definition says."""

from pathlib import Path

import pytest
import torch
from tiny_models import LLAMA_RECIPE, SMALL, llama_tokenizer, loaded_llama, random_llama
from transformers import AutoModelForCausalLM, GenerationConfig

from kto_recipes import scoring
from kto_recipes.batches import Room
from kto_recipes.cpu_attention import NAME
from kto_recipes.errors import UserError
from kto_recipes.generation import (
    Loaded,
    Sampling,
    completion_ids,
    generate,
    generate_batch,
    load,
    prompt_ids,
    text_of,
)
from kto_recipes.scoring import completion_logps

CHATS = [
    [{"role": "user", "content": "hi"}],
    [{"role": "system", "content": "You are Ada."}, {"role": "user", "content": "Could you tell me about the tides?"}],
    [
        {"role": "user", "content": "Ciao"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "e?"},
    ],
    [{"role": "user", "content": "a much longer message, " * 6}],
    [{"role": "user", "content": "🙂"}],
]
REPLIES = ["Good day.", "x", "It is a matter of some importance to many people. " * 3, "no", "sì 🙂"]
GREEDY = Sampling(max_new_tokens=12, temperature=0)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return loaded_llama(seed=1)


@pytest.fixture(scope="module")
def prompts(loaded: Loaded) -> list[list[int]]:
    return [prompt_ids(loaded, chat) for chat in CHATS]


@pytest.fixture(scope="module")
def pairs(loaded: Loaded, prompts: list[list[int]]) -> list[tuple[list[int], list[int]]]:
    answers = [completion_ids(loaded, chat, reply) for chat, reply in zip(CHATS, REPLIES, strict=True)]
    return list(zip(prompts, answers, strict=True))


def never_stops(loaded: Loaded) -> Loaded:
    """The same model with an end of turn that it cannot choose, so that every answer has full length."""
    model = random_llama(seed=1)
    stop = torch.zeros(model.config.vocab_size, 1)
    stop[loaded.tokenizer.eos_token_id] = 1
    with torch.no_grad():
        # A head row of zeros gives logit 0, far from the largest of the other, random, logits.
        model.lm_head.weight.mul_(1 - stop)
    return Loaded(model, loaded.tokenizer)


# --- generation ---------------------------------------------------------------------------------------------


def test_greedy_answers_in_a_left_padded_batch_are_those_of_each_prompt_alone(
    loaded: Loaded, prompts: list[list[int]]
) -> None:
    loaded = never_stops(loaded)
    assert len({len(prompt) for prompt in prompts}) == len(prompts), "without padding this would show nothing"
    alone = [generate(loaded, [prompt], GREEDY, seed=0)[0] for prompt in prompts]
    assert len({tuple(answer) for answer in alone}) > 1
    assert generate(loaded, prompts, GREEDY, seed=0, batch_size=5) == alone
    assert generate(loaded, prompts, GREEDY, seed=0, batch_size=2) == alone


def test_prompts_that_begin_alike_have_the_answers_of_each_alone(loaded: Loaded, prompts: list[list[int]]) -> None:
    """What they begin with is read once for all of them; padding comes after it."""
    loaded = never_stops(loaded)
    system = {"role": "system", "content": "You are Ada, and you answer in the manner of Ada."}
    longest = max(prompts, key=len)
    for begin_alike in (
        [prompt_ids(loaded, [system, *chat]) for chat in CHATS if chat[0]["role"] == "user"],
        [longest, longest[:-1], longest[:5]],  # each begins another
        [longest] * 3,
        [[7], [7, 8]],  # nothing to share: a token must be left
    ):
        alone = [generate(loaded, [prompt], GREEDY, seed=0)[0] for prompt in begin_alike]
        assert generate(loaded, begin_alike, GREEDY, seed=0) == alone


def test_a_greedy_answer_is_the_most_likely_token_at_each_step(loaded: Loaded, prompts: list[list[int]]) -> None:
    (answer,) = generate(loaded, prompts[1:2], GREEDY, seed=0)
    ids = list(prompts[1])
    for token in answer:
        with torch.no_grad():
            logits = loaded.model(torch.tensor([ids])).logits[0, -1]
        assert token == int(logits.argmax())
        ids.append(token)


def test_sampling_is_decided_by_its_seed(loaded: Loaded, prompts: list[list[int]]) -> None:
    sampling = Sampling(max_new_tokens=12)
    first = generate(loaded, prompts, sampling, seed=7)
    torch.manual_seed(123)
    assert generate(loaded, prompts, sampling, seed=7) == first
    assert generate(loaded, prompts, sampling, seed=8) != first


def test_an_answer_stops_at_its_first_end_of_turn_and_keeps_it(loaded: Loaded, prompts: list[list[int]]) -> None:
    eos, pad = loaded.tokenizer.eos_token_id, loaded.tokenizer.pad_token_id
    # From a head of nearly zeros every token is about equally likely, so that some answers stop early.
    model = random_llama(seed=1)
    with torch.no_grad():
        model.lm_head.weight.mul_(1e-3)
        model.lm_head.weight[pad] = model.lm_head.weight[eos]
    answers = generate(Loaded(model, loaded.tokenizer), prompts * 60, Sampling(max_new_tokens=40), seed=0)
    stopped = [answer for answer in answers if eos in answer]
    assert 0 < len(stopped) < len(answers)
    assert all(answer.index(eos) == len(answer) - 1 for answer in stopped)
    assert all(len(answer) == 40 for answer in answers if eos not in answer)


def test_sampling_follows_the_models_whole_distribution(loaded: Loaded) -> None:
    """The first token's frequencies over 4000 draws are the softmax, within four standard errors."""
    prompt = prompt_ids(loaded, CHATS[0])
    n = 4000
    answers = generate(loaded, [prompt] * n, Sampling(max_new_tokens=1), seed=0, batch_size=n)
    with torch.no_grad():
        expected = loaded.model(torch.tensor([prompt])).logits[0, -1].softmax(0)
    seen = torch.bincount(torch.tensor([answer[0] for answer in answers]), minlength=len(expected)) / n
    assert torch.all((seen - expected).abs() <= 4 * (expected * (1 - expected) / n).sqrt() + 1e-3)
    assert (seen > 0).sum() > 50, "top_k or top_p was left on"


def test_top_k_of_one_is_greedy(loaded: Loaded, prompts: list[list[int]]) -> None:
    assert generate(loaded, prompts, Sampling(12, top_k=1), seed=3) == generate(loaded, prompts, GREEDY, seed=0)


def test_each_batch_is_reported_when_it_is_done(loaded: Loaded, prompts: list[list[int]]) -> None:
    done: list[int] = []
    generate(loaded, prompts, Sampling(1), seed=0, batch_size=2, on_done=done.append)
    assert done == [2, 2, 1]


def test_any_of_the_tokens_given_ends_an_answer_and_stays_in_it(loaded: Loaded, prompts: list[list[int]]) -> None:
    whole = generate_batch(never_stops(loaded), prompts, GREEDY)
    stop = whole[0][3]
    ended = generate_batch(never_stops(loaded), prompts, GREEDY, stop=[stop])
    for answer, full in zip(ended, whole, strict=True):
        assert answer == (full[: full.index(stop) + 1] if stop in full else full)


# --- scoring ------------------------------------------------------------------------------------------------


def plain_logps(loaded: Loaded, prompt: list[int], completion: list[int]) -> float:
    """Σ log softmax over the completion's tokens, unpadded, in float64 from the whole logits."""
    with torch.no_grad():
        logits = loaded.model(torch.tensor([prompt + completion])).logits[0].double()
    logps = torch.log_softmax(logits, dim=-1)
    return sum(float(logps[len(prompt) + i - 1, token]) for i, token in enumerate(completion))


def test_completion_logps_are_the_plain_sum_of_log_softmax(
    loaded: Loaded, pairs: list[tuple[list[int], list[int]]]
) -> None:
    expected = torch.tensor([plain_logps(loaded, *pair) for pair in pairs], dtype=torch.float64)
    scored = completion_logps(loaded, pairs)
    assert scored.dtype == torch.float64
    torch.testing.assert_close(scored, expected, atol=1e-4, rtol=0)


def test_completion_logps_do_not_depend_on_the_batch_or_the_order(
    loaded: Loaded, pairs: list[tuple[list[int], list[int]]]
) -> None:
    together = completion_logps(loaded, pairs)
    for size in (1, 2, 3):
        torch.testing.assert_close(completion_logps(loaded, pairs, batch_size=size), together, atol=1e-4, rtol=0)
    torch.testing.assert_close(completion_logps(loaded, pairs[::-1]), together.flip(0), atol=1e-4, rtol=0)


def test_with_little_room_the_log_probabilities_are_the_same(
    loaded: Loaded, pairs: list[tuple[list[int], list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = completion_logps(loaded, pairs)
    monkeypatch.setattr(
        scoring, "room_beside", lambda _: Room(total=1, per_token=1, per_logits=1)
    )  # as a full GPU says
    done: list[int] = []
    torch.testing.assert_close(completion_logps(loaded, pairs, on_done=done.append), together, atol=1e-4, rtol=0)
    assert done == [1] * len(pairs)


def test_a_generated_answer_scores_what_its_sampling_probabilities_multiply_to(
    loaded: Loaded, prompts: list[list[int]]
) -> None:
    answers = generate(loaded, prompts, Sampling(8), seed=0)
    expected = [plain_logps(loaded, *pair) for pair in zip(prompts, answers, strict=True)]
    scored = completion_logps(loaded, list(zip(prompts, answers, strict=True)))
    torch.testing.assert_close(scored, torch.tensor(expected, dtype=torch.float64), atol=1e-4, rtol=0)


# --- ids ----------------------------------------------------------------------------------------------------


def test_completion_ids_are_the_reply_and_its_end_of_turn(loaded: Loaded) -> None:
    tokenizer = loaded.tokenizer
    for chat, reply in zip(CHATS, REPLIES, strict=True):
        ids = completion_ids(loaded, chat, reply)
        assert ids == [*tokenizer(reply.strip(), add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def test_an_end_of_turn_inside_a_reply_does_not_cut_it(loaded: Loaded) -> None:
    ids = completion_ids(loaded, CHATS[0], "one <|eot_id|> two")
    assert ids.count(loaded.tokenizer.eos_token_id) == 2
    assert ids[-1] == loaded.tokenizer.eos_token_id


def test_the_text_of_an_answer_has_no_special_tokens_and_no_outer_space(loaded: Loaded) -> None:
    assert text_of(loaded, completion_ids(loaded, CHATS[0], "Good  day.")) == "Good  day."
    assert text_of(loaded, [loaded.tokenizer.eos_token_id]) == ""


def test_on_a_cpu_heads_that_share_keys_attend_as_stock_ones_do(model_folder: Path) -> None:
    loaded = load(str(model_folder), LLAMA_RECIPE)
    if loaded.model.device.type != "cpu":
        pytest.skip("there is a GPU")
    stock = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    assert stock.config.num_key_value_heads < stock.config.num_attention_heads
    assert stock.config._attn_implementation != loaded.model.config._attn_implementation == NAME
    ids = torch.randint(10, 300, (3, 20), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, :7] = 0
    for attended in (mask, torch.ones_like(ids)):
        with torch.no_grad():
            expected, found = (model(input_ids=ids, attention_mask=attended).logits for model in (stock, loaded.model))
        torch.testing.assert_close(found[attended == 1], expected[attended == 1], atol=1e-5, rtol=1e-5)


# --- loading ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    random_llama(seed=1).save_pretrained(folder)
    llama_tokenizer().save_pretrained(folder)
    return folder


def test_a_loaded_model_is_ready_for_inference_as_the_recipe_says(model_folder: Path) -> None:
    loaded = load(str(model_folder), LLAMA_RECIPE)
    assert not loaded.model.training
    assert loaded.tokenizer.padding_side == "left"
    assert loaded.tokenizer.eos_token == "<|eot_id|>"
    if not torch.cuda.is_available():
        assert loaded.model.dtype == torch.float32


def test_what_a_models_own_generation_config_says_does_not_change_the_samples(
    model_folder: Path, tmp_path: Path
) -> None:
    """Qwen2.5 Instruct ships a repetition penalty; with it, replies would not be samples of the distribution."""
    model = random_llama(seed=1)
    model.generation_config = GenerationConfig(
        repetition_penalty=5.0, do_sample=True, top_k=2, temperature=0.1, no_repeat_ngram_size=1, min_new_tokens=3
    )
    model.save_pretrained(tmp_path)
    llama_tokenizer().save_pretrained(tmp_path)
    plain, penalised = load(str(model_folder), LLAMA_RECIPE), load(str(tmp_path), LLAMA_RECIPE)
    prompts = [prompt_ids(plain, chat) for chat in CHATS]
    for sampling in (GREEDY, Sampling(12)):
        assert generate(penalised, prompts, sampling, seed=0) == generate(plain, prompts, sampling, seed=0)


def test_a_tokenizer_of_another_folder_can_be_used(model_folder: Path, tmp_path: Path) -> None:
    tokenizer = llama_tokenizer()
    tokenizer.add_tokens(["<extra>"])
    tokenizer.save_pretrained(tmp_path)
    assert len(load(str(model_folder), LLAMA_RECIPE, tokenizer=str(tmp_path)).tokenizer) == SMALL.vocab_size + 1


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded as a model") as caught:
        load(str(tmp_path / "empty"), LLAMA_RECIPE)
    assert "\n" not in str(caught.value)


def test_a_missing_chat_template_is_noticed_before_the_weights_are_loaded(tmp_path: Path) -> None:
    llama_tokenizer().save_pretrained(tmp_path)  # and no weights at all
    with pytest.raises(UserError, match="the tokenizer has no chat template; name one in the recipe"):
        load(str(tmp_path), {})
