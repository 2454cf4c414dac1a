"""A model behind an OpenAI-compatible endpoint as the judge: both orders are asked, and every answer is kept."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kto_recipes.endpoint import Request, ask
from kto_recipes.endpoint_problems import public_url
from kto_recipes.errors import UserError
from kto_recipes.generation import Reply, Sampling
from kto_recipes.judge.pairs import Pair
from kto_recipes.judge.prompt import VERSION, Verdict, question, read_verdict
from kto_recipes.judge.result import judge_folder, result, slug, write_result
from kto_recipes.judge.statistics import LOSS, SEED, TIE, WIN, Judged
from kto_recipes.kept import KeptReplies
from kto_recipes.progress import StartTask
from kto_recipes.settings import Endpoint

_ORDERS = (True, False)  # whether KTO's reply stands first


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge model is asked, and what it costs in dollars per million tokens, where that is known."""

    max_new_tokens: int = 512
    reference: bool = True  # show the liked answer in the data, where there is one
    price_in: float | None = None
    price_out: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The result, its file (None when there was nothing to write), how many were asked now, and what stopped it."""

    value: dict[str, Any]
    path: Path | None
    asked_now: int
    problem: UserError | None


def judge_by_model(
    run: Path,
    pairs: Sequence[Pair],
    endpoint: Endpoint,
    settings: JudgeSettings,
    said: dict[str, Any],
    start_task: StartTask,
) -> Outcome:
    """Ask about every pair that has not been judged yet, and write the result of what there is.

    Args:
        run: the run's folder; answers are kept in judge/<judge>.answers.jsonl as they come.
        pairs: what is to be judged.
        endpoint: where the judge is.
        settings: how it is asked.
        said: what else the result's settings are to hold.
        start_task: called with a name and an amount of work; answers what to call as work is done.
    """
    folder, name = judge_folder(run), slug(endpoint.model)
    sampling = Sampling(settings.max_new_tokens, temperature=0)
    asked_of = {"url": public_url(endpoint.url), "model": endpoint.model}
    how = {"sampling": asdict(sampling), "seed": SEED, "prompt": VERSION}
    kept = KeptReplies(folder / f"{name}.answers.jsonl", asked_of | how)
    questions = _Questions(pairs, kept, reference=settings.reference)
    missing = {key: messages for key, messages in questions.messages.items() if key not in kept}
    problem = _ask(endpoint, missing, sampling, kept, start_task)
    answers = {key: kept[key] for key in questions.messages if key in kept}
    asked_now = sum(key in kept for key in missing)
    cost, reasons = _cost(answers, len(answers) - asked_now, settings)
    value = result(
        run,
        endpoint.model,
        VERSION,
        pairs,
        [_judged(pair, keys, answers) for pair, keys in zip(pairs, questions.keys, strict=True)],
        settings={**said, **asked_of, **asdict(settings), "temperature": 0},
        cost=cost,
        missing=reasons | ({"endpoint": str(problem)} if problem else {}),
    )
    path = folder / f"{name}.json"
    return Outcome(value, path if write_result(path, value) else None, asked_now, problem)


class _Questions:
    """`keys[i]`, of the two answers that pair i takes, KTO's reply first and then second; `messages` by key."""

    def __init__(self, pairs: Sequence[Pair], kept: KeptReplies, *, reference: bool) -> None:
        self.messages: dict[str, Any] = {}
        self.keys: list[list[str]] = []
        for pair in pairs:
            asked = [] if pair.identical else [question(pair, kto_first=it, reference=reference) for it in _ORDERS]
            self.keys.append([kept.key(messages) for messages in asked])
            self.messages |= zip(self.keys[-1], asked, strict=True)


def _ask(
    endpoint: Endpoint,
    missing: dict[str, Any],
    sampling: Sampling,
    kept: KeptReplies,
    start_task: StartTask,
) -> UserError | None:
    if not missing:
        return None
    keys = list(missing)
    on_done = start_task("judge", len(keys))

    def on_reply(number: int, reply: Reply) -> None:
        kept.add({keys[number]: reply})
        on_done(1)

    try:
        ask(endpoint, [Request(missing[key], sampling, SEED) for key in keys], on_reply)
    except UserError as problem:
        return problem
    return None


def _judged(pair: Pair, keys: Sequence[str], answers: dict[str, Reply]) -> Judged:
    longer = len(pair.kto) - len(pair.other)
    if pair.identical:
        return Judged(longer, asked=0, answered=0, score=TIE)
    given = [answers.get(key) for key in keys]
    verdicts = [_verdict(reply) for reply in given]
    score = None if None in verdicts else _score(verdicts[0], verdicts[1])
    first_won = [verdict == "first" for verdict in verdicts if verdict in ("first", "second")]
    return Judged(longer, asked=2, answered=sum(it is not None for it in given), score=score, first_won=first_won)


def _verdict(reply: Reply | None) -> Verdict | None:
    """None also of an answer that was cut: it had not come to its end."""
    return None if reply is None or reply.cut else read_verdict(reply.text)


def _score(kto_first: Verdict | None, kto_second: Verdict | None) -> float:
    """Only where both orders agree there is a winner."""
    return {("first", "second"): WIN, ("second", "first"): LOSS}.get((kto_first, kto_second), TIE)


def _cost(answers: dict[str, Reply], cached: int, settings: JudgeSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Of all answers behind the result, whenever they were asked for; `cached` of them were not asked for now."""
    counted = [reply.tokens for reply in answers.values() if reply.tokens is not None]
    read, written = (sum(column) for column in zip(*counted, strict=True)) if counted else (None, None)
    dollars = None
    if counted and settings.price_in is not None and settings.price_out is not None:
        dollars = (read * settings.price_in + written * settings.price_out) / 1e6
    cost = {"requests": len(answers), "cached": cached, "prompt_tokens": read, "completion_tokens": written}
    uncounted = len(answers) - len(counted)
    reason = (
        f"{uncounted:,} of {len(answers):,} answers came without a count of their tokens, which the cost leaves out"
    )
    return cost | {"dollars": dollars}, {"cost": reason} if uncounted else {}
