"""Real replies to something else: plausible, because they were said to similar words, and wrong here."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import ceil

from kto_recipes.inspect_data.languages import guessed_language
from kto_recipes.negatives.context import Answer, Context, NotMade
from kto_recipes.negatives.gate import plain
from kto_recipes.negatives.language import language_of
from kto_recipes.negatives.said import Asked, Replies, by_others, by_the_same
from kto_recipes.negatives.stock import phrases
from kto_recipes.progress import OnDone
from kto_recipes.rows import KtoRow, completion_text, prompt_key
from kto_recipes.settings import Contaminate, ContaminateSource

NO_REPLY = NotMade("no reply to take")
NO_PHRASE = NotMade("no stock phrase in this language")

Source = Callable[[Sequence[Asked]], Iterator[Answer | NotMade]]


def make(parents: Sequence[KtoRow], settings: Contaminate, context: Context) -> list[Answer | NotMade]:
    """One reply for each parent, from the sources in turn; where a source has none, from the next one.

    What the prompt holds, what is a good answer to it and what was said to the same words is never taken, nor
    anything of the other split. Of candidates those used less come first, so that an answer depends on the rows before.
    """
    split_of = {row["meta"]["group"]: split for split, rows in context.positives.items() for row in rows}
    answers: list[Answer | NotMade] = [NO_REPLY] * len(parents)
    for split, rows in context.positives.items():
        mine = [place for place, parent in enumerate(parents) if split_of[parent["meta"]["group"]] == split]
        asked = _asked([parents[place] for place in mine], rows, context.seed)
        times = ceil(len(mine) / max(len(rows), 1))
        sources = [_source(name, rows, settings.nearest, times, context.seed) for name in settings.sources]
        found = _taken(asked, sources, context.on_done)
        for place, answer in zip(mine, found, strict=True):
            answers[place] = answer
    return answers


def _asked(parents: Sequence[KtoRow], rows: Sequence[KtoRow], seed: int) -> list[Asked]:
    forbidden = {prompt_key(parent): {plain(message["content"]) for message in parent["prompt"]} for parent in parents}
    for row in rows:
        if (prompt := prompt_key(row)) in forbidden:
            forbidden[prompt].add(plain(completion_text(row)))
    before: Counter[str] = Counter()
    asked = []
    for parent in parents:
        name = parent["meta"]["id"]
        own = f"{seed}:contaminate:{name}:{before[name]}"
        before[name] += 1
        asked.append(Asked(parent, plain(parent["prompt"][-1]["content"]), forbidden[prompt_key(parent)], own))
    return asked


def _taken(rows: Sequence[Asked], sources: Sequence[Source], on_done: OnDone) -> list[Answer | NotMade]:
    """Each row's answer from its source, else from the next; the reason is that of its own source."""
    answers: list[Answer | NotMade] = [NO_REPLY] * len(rows)
    for turn in range(len(sources)):
        waiting = [place for place, answer in enumerate(answers) if isinstance(answer, NotMade)]
        for number, source in enumerate(sources):
            mine = [place for place in waiting if (place + turn) % len(sources) == number]
            for place, answer in zip(mine, source([rows[place] for place in mine]), strict=True):
                if isinstance(answer, Answer):
                    rows[place].forbidden.add(plain(answer.text))
                    on_done(1)
                if isinstance(answer, Answer) or turn == 0:
                    answers[place] = answer
    on_done(sum(isinstance(answer, NotMade) for answer in answers))
    return answers


def _source(name: ContaminateSource, rows: Sequence[KtoRow], nearest: int, times: int, seed: int) -> Source:
    if name == "stock":
        return _stock
    replies = Replies(by_the_same(rows) if name == "other_prompt" else by_others(rows), nearest, times, seed)

    def take(asked: Sequence[Asked]) -> Iterator[Answer | NotMade]:
        for said in replies.take(asked):
            yield NO_REPLY if said is None else Answer(said.text, {"source": name, "reply_of": said.row_id})

    return take


def _stock(asked: Sequence[Asked]) -> Iterator[Answer | NotMade]:
    """A neutral phrase in the language of the prompt, all of them equally often."""
    uses: Counter[str] = Counter()
    for row in asked:
        usable = [phrase for phrase in phrases(_language(row.parent) or "") if plain(phrase) not in row.forbidden]
        random.Random(row.seed).shuffle(usable)
        phrase = min(usable, key=lambda phrase: uses[phrase], default=None)
        uses[phrase] += 1
        yield NO_PHRASE if phrase is None else Answer(phrase, {"source": "stock"})


def _language(row: KtoRow) -> str | None:
    """The language of the last message; where that does not show one, of the conversation."""
    message = row["prompt"][-1]["content"]
    spoken = [message["content"] for message in [*row["prompt"], *row["completion"]] if message["role"] != "system"]
    return language_of(message) or guessed_language("\n".join(spoken))
