"""Replies sampled from the base model: each prompt once, kept as they come, the same however often a run stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from openai_server import openai_server, refused, said
from tiny_models import LLAMA_RECIPE, llama_tokenizer, random_llama, write_base

from kto_recipes.errors import UserError
from kto_recipes.negatives import base_sample
from kto_recipes.negatives.asking import ON_A_CPU
from kto_recipes.negatives.context import Answer, Context, NotMade
from kto_recipes.rows import KtoRow
from kto_recipes.settings import BaseSample

WORDS = ["tides", "boats", "lemons", "trains", "rain", "music", "bread", "glass", "summer", "paper"]


def rows(count: int) -> list[KtoRow]:
    """Prompts of many lengths."""
    return [
        KtoRow(
            prompt=[{"role": "user", "content": f"What about {' '.join(WORDS[: n % 10])} {n}?"}],
            completion=[{"role": "assistant", "content": "boh"}],
            label=True,
            meta={"id": f"row-{n}", "group": f"g{n}", "source": "test"},
        )
        for n in range(count)
    ]


def settings(**values: Any) -> BaseSample:
    return BaseSample(strategy="base_sample", share=1, **{"max_new_tokens": 4} | values)


def endpoint(url: str, **values: Any) -> dict[str, Any]:
    return {"url": url, "model": "tiny", "concurrency": 4, "retries": 0, "timeout_s": 20} | values


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny Llama with random weights; like a base model's, its tokenizer has no chat template."""
    return str(write_base(tmp_path_factory.mktemp("llama"), random_llama(0)))


class Run:
    """Makes answers in one folder and notes what `on_done` was called with."""

    def __init__(self, folder: Path, model: str, recipe: dict[str, Any] | None = None, seed: int = 0) -> None:
        self.done: list[int] = []
        self.stop_after = 10**9
        self.journal = folder / "answers-base_sample.jsonl"
        recipe = {"base_model": model} | (LLAMA_RECIPE if recipe is None else recipe)
        self.context = Context(recipe, seed, {}, folder, self._on_done)

    def _on_done(self, count: int) -> None:
        self.done.append(count)
        if len(self.done) > self.stop_after:
            raise KeyboardInterrupt

    def make(self, parents: Sequence[KtoRow], **values: Any) -> list[Answer | NotMade]:
        self.done.clear()
        return base_sample.make(parents, settings(**values), self.context)


@pytest.fixture
def run(tmp_path: Path, llama: str) -> Callable[..., Run]:
    """run("folder", seed=…): a run of the tiny Llama with a data folder of its own."""
    return lambda name="data", model=llama, **more: Run(tmp_path / name, model, **more)


def texts(answers: list[Answer | NotMade]) -> list[str]:
    return [answer.text if isinstance(answer, Answer) else "" for answer in answers]


# --- what is sampled ----------------------------------------------------------------------------------------


def test_each_prompt_has_an_answer_in_order_and_is_reported(run: Callable[..., Run]) -> None:
    one = run()
    answers = one.make(rows(ON_A_CPU + 10))
    assert len(answers) == ON_A_CPU + 10
    assert len(set(texts(answers))) > ON_A_CPU // 2
    assert one.done == [0, ON_A_CPU, 10]


def test_an_answer_stands_where_its_prompt_does(run: Callable[..., Run]) -> None:
    """Though batches are made by length, and an endpoint answers in any order."""
    greedy = {"temperature": 1e-4, "max_new_tokens": 6}
    parents = rows(ON_A_CPU + 10)
    together = texts(run().make(parents, **greedy))
    alone = [texts(run(f"alone-{n}").make([parents[n]], **greedy))[0] for n in range(0, len(parents), 6)]
    assert len(set(alone)) > 5
    assert together[::6] == alone
    with openai_server(lambda _, body: said(body["messages"][-1]["content"])) as server:
        answers = run().make(parents, endpoint=endpoint(server.url))
    assert texts(answers) == [row["prompt"][-1]["content"] for row in parents]


def test_a_prompt_that_comes_again_has_another_sample(run: Callable[..., Run]) -> None:
    parents = [row for row in rows(20) for _ in range(3)]
    answers = texts(run().make(parents))
    assert sum(len(set(answers[start : start + 3])) > 1 for start in range(0, 60, 3)) >= 18


def test_several_temperatures_are_used_in_turn_and_recorded(run: Callable[..., Run]) -> None:
    with openai_server(lambda _, body: said(f"at {body['temperature']}")) as server:
        answers = run().make(rows(5), temperature=[0.7, 1.5], endpoint=endpoint(server.url))
    assert answers == [Answer(f"at {t}", {"temperature": t}) for t in (0.7, 1.5, 0.7, 1.5, 0.7)]


def test_a_temperature_is_what_the_model_is_sampled_at(run: Callable[..., Run]) -> None:
    """Nearly at zero every sample of a prompt is the greedy one, whatever another temperature in turn says."""
    parents = [row for row in rows(12) for _ in range(4)]
    answers = run().make(parents, temperature=[1e-4, 3.0], max_new_tokens=6)
    cold = [texts(answers[n : n + 4 : 2]) for n in range(0, 48, 4)]
    hot = [texts(answers[n + 1 : n + 4 : 2]) for n in range(0, 48, 4)]
    assert all(first == second for first, second in cold)
    assert sum(first != second for first, second in hot) >= 10


def test_an_endpoint_is_sent_the_settings_and_a_seed_of_each_prompts_own(run: Callable[..., Run]) -> None:
    with openai_server(lambda *_: said("x")) as server:
        parents = [row for row in rows(3) for _ in range(2)]
        run().make(parents, temperature=1.2, top_p=0.8, top_k=30, endpoint=endpoint(server.url))
    for body in server.bodies:
        assert (body["model"], body["temperature"], body["top_p"], body["top_k"], body["max_tokens"]) == (
            ("tiny", 1.2, 0.8, 30, 4)
        )
        assert 0 <= body["seed"] < 2**31
    assert len({body["seed"] for body in server.bodies}) == 6


def test_what_says_nothing_is_not_made(run: Callable[..., Run]) -> None:
    with openai_server(lambda _, body: said("" if "3?" in str(body["messages"]) else "x")) as server:
        answers = run().make(rows(5), endpoint=endpoint(server.url))
    assert answers[3] == NotMade("empty")
    assert texts(answers) == ["x", "x", "x", "", "x"]


def test_a_base_models_own_end_of_text_ends_an_answer(run: Callable[..., Run], tmp_path: Path) -> None:
    """Not only the recipe's end of turn: what follows it would be another document."""
    model = random_llama(0)
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(1.0)
        for layer in model.model.layers:  # so that the ones reach the head as they are
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.norm.weight.fill_(1.0)
        model.lm_head.weight.zero_()
        model.lm_head.weight[llama_tokenizer().convert_tokens_to_ids("<|end_of_text|>")] = 10.0
    one = run(model=str(write_base(tmp_path / "ends-at-once", model)))
    assert one.make(rows(2)) == [NotMade("empty")] * 2
    kept = [json.loads(line) for line in one.journal.read_text().splitlines()]
    assert [entry["cut"] for entry in kept] == [False, False]


CUT = [
    ("It is fine. I would sugg", "It is fine."),
    ("Is it? “Yes!” he said and", "Is it? “Yes!”"),
    ("first line\nsecond li", "first line"),
    ("no end of a sentence in sig", "no end of a sentence in"),
    ("Costs 3.5 euros at", "Costs 3.5 euros"),
    ("word", "word"),
    ("half a �", "half a"),
    ("Done.", "Done."),
]


@pytest.mark.parametrize(("said_so_far", "whole"), CUT, ids=[f"{n}" for n in range(len(CUT))])
def test_an_answer_cut_at_its_limit_ends_with_a_whole_sentence_and_says_so(
    run: Callable[..., Run], said_so_far: str, whole: str
) -> None:
    with openai_server(lambda *_: said(said_so_far, "length")) as server:
        answers = run().make(rows(1), endpoint=endpoint(server.url))
    assert answers == [Answer(whole, {"temperature": 1.0, "cut": True})]


def test_an_answer_that_ends_by_itself_stays_as_it_is(run: Callable[..., Run]) -> None:
    with openai_server(lambda *_: said("It is fine. I would")) as server:
        answers = run().make(rows(1), endpoint=endpoint(server.url))
    assert answers == [Answer("It is fine. I would", {"temperature": 1.0})]


# --- kept ---------------------------------------------------------------------------------------------------


def test_what_is_kept_is_not_sampled_again(run: Callable[..., Run]) -> None:
    first = run().make(rows(20))
    again = run()
    assert again.make(rows(20)) == first
    assert again.done == [20]
    journal = again.journal.read_bytes()
    again.make(rows(20))
    assert again.journal.read_bytes() == journal


@pytest.mark.parametrize("batches", [1, 2])
def test_a_stopped_run_goes_on_where_it_stopped_and_ends_the_same(run: Callable[..., Run], batches: int) -> None:
    parents = rows(2 * ON_A_CPU + 20)
    whole = run("whole")
    expected = whole.make(parents)
    stopped = run("stopped")
    stopped.stop_after = batches
    with pytest.raises(KeyboardInterrupt):
        stopped.make(parents)
    torch.manual_seed(123)
    again = run("stopped")
    assert again.make(parents) == expected
    assert again.done == [batches * ON_A_CPU, *[ON_A_CPU] * (2 - batches), 20]
    assert again.journal.read_bytes() == whole.journal.read_bytes()


@pytest.mark.parametrize("lost", [1, 40, 5000])
def test_a_batch_whose_writing_was_torn_is_done_again(run: Callable[..., Run], lost: int) -> None:
    parents = rows(ON_A_CPU + 20)
    expected = run("whole").make(parents)
    stopped = run("stopped")
    stopped.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        stopped.make(parents)
    stopped.journal.write_bytes(stopped.journal.read_bytes()[:-lost])
    assert run("stopped").make(parents) == expected


KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_base_sample import Run, rows
run = Run(Path(sys.argv[2]), sys.argv[3])
def kill(count):
    if count:
        os.kill(os.getpid(), signal.SIGKILL)
object.__setattr__(run.context, "on_done", kill)
run.make(rows(int(sys.argv[4])))
"""


def test_a_run_that_was_killed_goes_on_where_it_stopped(run: Callable[..., Run], tmp_path: Path, llama: str) -> None:
    count = ON_A_CPU + 20
    expected = run("whole").make(rows(count))
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "killed"), llama, str(count)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = run("killed")
    assert again.make(rows(count)) == expected
    assert again.done == [ON_A_CPU, 20]


def test_an_endpoint_that_fails_in_the_middle_is_asked_only_for_the_rest(run: Callable[..., Run]) -> None:
    def failing(number: int, body: dict[str, Any]) -> Any:
        return said(body["messages"][-1]["content"]) if number < 7 else refused(400, "out of credit")

    def answering(_: int, body: dict[str, Any]) -> Any:
        return said(body["messages"][-1]["content"])

    parents = rows(20)
    behave = [failing]
    with openai_server(lambda number, body: behave[0](number, body)) as server:
        where = endpoint(server.url, concurrency=1)
        with pytest.raises(UserError, match="7 of 20 answers came before that and are kept"):
            run().make(parents, endpoint=where)
        behave[0] = answering
        again = run()
        # how an endpoint is reached does not decide what it says
        answers = again.make(parents, endpoint=where | {"concurrency": 4, "retries": 2, "timeout_s": 30})
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    assert len(asked) == 7 + 1 + 13
    assert len(set(asked)) == 20
    assert again.done == [7, *[1] * 13]
    assert texts(answers) == [row["prompt"][-1]["content"] for row in parents]


def test_another_model_template_seed_or_setting_finds_nothing(run: Callable[..., Run], tmp_path: Path) -> None:
    parents = rows(3)
    run().make(parents)

    def found(one: Run, **values: Any) -> int:
        one.make(parents, **values)
        return one.done[0]

    other = str(write_base(tmp_path / "other", random_llama(1)))
    assert found(run()) == 3
    assert found(run(model=other)) == 0
    assert found(run(recipe=LLAMA_RECIPE | {"chat_template": "chatml"})) == 0
    assert found(run(seed=1)) == 0
    for values in ({"temperature": 1.1}, {"top_p": 0.5}, {"top_k": 3}, {"max_new_tokens": 3}):
        assert found(run(), **values) == 0, values
    assert found(run(), samples_per_prompt=2) == 3, "how many there are does not change what one is"
    # another recipe key, that no answer depends on
    assert found(run(recipe=LLAMA_RECIPE | {"learning_rate": 1})) == 3


def test_two_servers_and_two_models_of_one_are_kept_apart(run: Callable[..., Run]) -> None:
    with openai_server(lambda *_: said("a")) as one, openai_server(lambda *_: said("b")) as two:
        for url, model, expected in ((one.url, "x", "a"), (two.url, "x", "b"), (two.url, "y", "b")):
            assert texts(run().make(rows(2), endpoint=endpoint(url, model=model))) == [expected] * 2
    assert (len(one.bodies), len(two.bodies)) == (2, 4)


def test_a_row_that_is_new_does_not_have_the_others_sampled_again(run: Callable[..., Run]) -> None:
    with openai_server(lambda _, body: said(str(body["seed"]))) as server:
        before = run().make(rows(10), endpoint=endpoint(server.url))
        after = run().make(rows(12)[::-1], endpoint=endpoint(server.url))
    assert len(server.bodies) == 12
    assert after[::-1][:10] == before


def test_the_key_of_an_endpoint_is_in_no_file(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-very-secret-key")
    with openai_server(lambda *_: said("x")) as server:
        one = run()
        one.make(rows(2), endpoint=endpoint(server.url))
    assert server.keys[0] == "Bearer sk-a-very-secret-key"
    assert all(b"secret" not in path.read_bytes() for path in one.journal.parent.iterdir())


# --- what a person did wrong --------------------------------------------------------------------------------


def test_a_model_without_a_chat_template_is_one_sentence(run: Callable[..., Run], llama: str) -> None:
    with pytest.raises(UserError) as caught:
        run(recipe={}).make(rows(2))
    assert str(caught.value).startswith(f"{llama}: the tokenizer has no chat template; name one in the recipe")
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_one_sentence(run: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: cannot be loaded as a model"):
        run(model=str(tmp_path / "empty")).make(rows(2))
