"""A run's KTO data: the dataset's own, or its good answers and undesirable ones made for the same prompts."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.files import atomic_write, model_sha256, sha256
from kto_recipes.negatives import STRATEGIES, Context
from kto_recipes.prepare.manifest import describe_input, describe_output, is_current, read_manifest, write_manifest
from kto_recipes.prepare.order import interleave, smallest_distance
from kto_recipes.prepare.weights import count_labels, suggest
from kto_recipes.rows import KtoRow, Message, completion_text, prompt_key, read_kto, write_jsonl
from kto_recipes.settings import DatasetSettings, Negatives

SPLITS = ("train", "eval")


def make_run_data(
    dataset: Path,
    out: Path,
    recipe: dict[str, Any],
    settings: DatasetSettings,
    on_strategy: Callable[[str, int], Callable[[int], None]],
) -> bool:
    """Write `out`/kto.{train,eval}.jsonl and manifest.json; False when they were current already.

    Args:
        dataset: the prepared dataset's folder.
        out: the run's data folder.
        recipe: the run's first stage; its base model is sampled.
        settings: the dataset's settings.
        on_strategy: called with a strategy's name and number of rows; answers what to call as rows are done.
    """
    prepared = read_manifest(dataset)
    if "kto.train.jsonl" in prepared["written"]:
        return _take_over(dataset, out, prepared)
    if settings.negatives is None:
        raise UserError(
            f"{dataset}: has only good answers and names no way to make undesirable ones; "
            "add negatives: to its dataset.yaml"
        )
    inputs = [describe_input(dataset / f"positives.{split}.jsonl", out) for split in SPLITS]
    inputs.append({"path": recipe["base_model"], "sha256": model_sha256(recipe["base_model"])})
    template = {key: recipe.get(key) for key in ("chat_template", "special_tokens")}
    recorded = {"negatives": settings.negatives.model_dump(mode="json"), **template}
    if is_current(out, inputs, recorded):
        return False
    positives = {split: read_kto(dataset / f"positives.{split}.jsonl") for split in SPLITS}
    left_out: Counter[str] = Counter()
    negatives = _negatives(positives, settings.negatives, recipe, left_out, on_strategy)
    for split in SPLITS:  # before anything is written
        if not negatives[split]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
            raise UserError(
                f"{dataset}: no undesirable answer could be made for the {split} split "
                f"({reasons or 'negatives.per_positive asks for none'}); change negatives: in its dataset.yaml"
            )
    written: dict[str, Any] = {}
    distance: dict[str, int | None] = {}
    train_weights = None
    for split in SPLITS:
        rows = interleave(positives[split] + negatives[split], settings.negatives.seed)
        n_desirable, n_undesirable = count_labels(rows)
        name = f"kto.{split}.jsonl"
        write_jsonl(out / name, rows)
        written[name] = describe_output(out / name, len(rows), n_desirable, n_undesirable)
        distance[split] = smallest_distance(rows)
        train_weights = train_weights or suggest(n_desirable, n_undesirable)
    read = sum(len(positives[split]) for split in SPLITS) + sum(len(n) for n in negatives.values()) + left_out.total()
    write_manifest(
        out,
        dataset=dataset.name,
        inputs=inputs,
        read=read,
        left_out=left_out,
        written=written,
        counted=tuple(written),
        groups=prepared["groups"],
        weights=train_weights,
        distance=distance,
        strategies={split: dict(Counter(row["meta"]["strategy"] for row in negatives[split])) for split in SPLITS},
        settings=recorded,
    )
    return True


def _take_over(dataset: Path, out: Path, prepared: dict[str, Any]) -> bool:
    """Copy the rows of a dataset that has answers of both labels; False when that was done already."""
    names = [f"kto.{split}.jsonl" for split in SPLITS]
    inputs = [describe_input(dataset / name, out) for name in names]
    recorded = {"negatives": None}
    if is_current(out, inputs, recorded):
        return False
    written = {name: prepared["written"][name] for name in names}
    for name in names:
        with (dataset / name).open("rb") as rows, atomic_write(out / name) as file:
            shutil.copyfileobj(rows, file)
        if sha256(out / name) != written[name]["sha256"]:
            raise UserError(f"{dataset / name}: was changed after it was prepared; prepare the dataset again")
    write_manifest(
        out,
        dataset=dataset.name,
        inputs=inputs,
        read=sum(written[name]["rows"] for name in names),
        left_out=Counter(),
        written=written,
        counted=tuple(names),
        settings=recorded,
        **{key: prepared[key] for key in ("groups", "weights", "distance")},
    )
    return True


def _negatives(
    positives: dict[str, list[KtoRow]],
    settings: Negatives,
    recipe: dict[str, Any],
    left_out: Counter[str],
    on_strategy: Callable[[str, int], Callable[[int], None]],
) -> dict[str, list[KtoRow]]:
    """Undesirable rows by split. Each strategy runs once over both splits: loading a model costs more."""
    parents = [(split, row) for split in SPLITS for row in _drawn(positives[split], settings)]
    random.Random(settings.seed).shuffle(parents)
    result: dict[str, list[KtoRow]] = {split: [] for split in SPLITS}
    good = {_said(row, completion_text(row)) for rows in positives.values() for row in rows}
    made = set()
    start = 0.0
    for strategy in settings.strategies:
        first, last = (round(part * len(parents)) for part in (start, start + strategy.share))
        start += strategy.share
        mine = parents[first:last]
        if not mine:
            continue
        context = Context(recipe, settings.seed, on_strategy(strategy.strategy, len(mine)))
        answers = STRATEGIES[strategy.strategy]([row for _, row in mine], strategy, context)
        for (split, parent), answer in zip(mine, answers, strict=True):
            if answer is None:
                left_out[f"{strategy.strategy}: empty"] += 1
            elif _said(parent, answer) in good:
                left_out[f"{strategy.strategy}: equals a good answer"] += 1
            elif _said(parent, answer) in made:
                left_out[f"{strategy.strategy}: repeated"] += 1
            else:
                made.add(_said(parent, answer))
                result[split].append(_row(parent, answer, strategy.strategy, len(result[split])))
    return result


def _said(row: KtoRow, answer: str) -> tuple[bytes, str]:
    """Equal where the same is said to the same prompt, but for case and the space around it."""
    return prompt_key(row), answer.strip().casefold()


def _drawn(rows: list[KtoRow], settings: Negatives) -> list[KtoRow]:
    """The prompts to answer: every one `per_positive` times, the remainder drawn by the seed."""
    whole, part = divmod(settings.per_positive * len(rows), len(rows))
    return rows * int(whole) + random.Random(settings.seed).sample(rows, round(part))


def _row(parent: KtoRow, answer: str, strategy: str, number: int) -> KtoRow:
    meta = parent["meta"]
    return KtoRow(
        prompt=parent["prompt"],
        completion=[Message(role="assistant", content=answer)],
        label=False,
        meta={
            "id": f"{meta['id']}#{strategy}-{number}",
            "group": meta["group"],
            "source": meta["source"],
            "strategy": strategy,
            "parent": meta["id"],
        },
    )
