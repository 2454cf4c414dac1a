"""A run's KTO data: the dataset's own, or its good answers and undesirable ones made for the same prompts."""

import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.files import atomic_write, model_sha256, sha256
from kto_recipes.inspect_data.shortcuts import audit
from kto_recipes.negatives.candidates import Made, make_negatives
from kto_recipes.prepare.manifest import describe_input, describe_output, is_current, read_manifest, write_manifest
from kto_recipes.prepare.order import interleave, smallest_distance
from kto_recipes.prepare.weights import count_labels, suggest
from kto_recipes.progress import StartTask
from kto_recipes.rows import KtoRow, completion_text, read_kto, write_jsonl
from kto_recipes.settings import DatasetSettings, Negatives
from kto_recipes.templates import template_settings

SPLITS = ("train", "eval")


def make_run_data(
    dataset: Path, out: Path, recipe: dict[str, Any], settings: DatasetSettings, on_strategy: StartTask
) -> bool:
    """Write `out`/kto.{train,eval}.jsonl and manifest.json; False when they were current already.

    Args:
        dataset: the prepared dataset's folder.
        out: the run's data folder.
        recipe: the run's first stage; its base model is sampled.
        settings: the dataset's settings.
        on_strategy: called with a strategy's name and number of rows; answers what to call as rows are done.

    Raises:
        UserError: where the dataset or a model does not allow it.
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
    inputs += [{"path": model, "sha256": model_sha256(model)} for model in _models(recipe, settings.negatives)]
    recorded = {"negatives": settings.negatives.model_dump(mode="json"), **template_settings(recipe)}
    if is_current(out, inputs, recorded):
        return False
    positives = {split: read_kto(dataset / f"positives.{split}.jsonl") for split in SPLITS}
    _check_positives(positives, dataset)
    made = make_negatives(positives, settings.negatives, recipe, out, on_strategy)
    _check_made(made, dataset)  # before anything is written
    rows = {split: interleave(positives[split] + made.rows[split], settings.negatives.seed) for split in SPLITS}
    for split in SPLITS:
        write_jsonl(out / f"kto.{split}.jsonl", rows[split])
    counts = {split: count_labels(rows[split]) for split in SPLITS}
    write_manifest(
        out,
        dataset=dataset.name,
        inputs=inputs,
        read=sum(len(it) for it in rows.values()) + made.left_out.total(),
        left_out=made.left_out,
        written={
            f"kto.{split}.jsonl": describe_output(out / f"kto.{split}.jsonl", len(rows[split]), *counts[split])
            for split in SPLITS
        },
        counted=tuple(f"kto.{split}.jsonl" for split in SPLITS),
        groups=prepared["groups"],
        weights=suggest(*counts["train"]),
        distance={split: smallest_distance(rows[split]) for split in SPLITS},
        strategies={split: dict(Counter(row["meta"]["strategy"] for row in made.rows[split])) for split in SPLITS},
        audit=[asdict(separation) for separation in audit(rows["train"], settings.negatives.seed)],
        settings=recorded,
    )
    return True


def _models(recipe: dict[str, Any], settings: Negatives) -> list[str]:
    """The models that answers come from, the run's base model first."""
    others = {getattr(strategy, "model", None) for strategy in settings.strategies} - {None, recipe["base_model"]}
    return [recipe["base_model"], *sorted(others)]


def _check_positives(positives: dict[str, list[KtoRow]], dataset: Path) -> None:
    for split, rows in positives.items():
        if not rows:
            raise UserError(
                f"{dataset}/positives.{split}.jsonl: holds no good answer; there is nothing to answer worse"
            )
    replies = {completion_text(row) for rows in positives.values() for row in rows}
    if len(replies) == 1:
        raise UserError(
            f"{dataset}: every good answer is the same, {min(replies)[:60]!r}; there is nothing to learn from them. "
            "Check source: and persona: in its dataset.yaml"
        )


def _check_made(made: Made, dataset: Path) -> None:
    for split, rows in made.rows.items():
        if not rows:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(made.left_out.items()))
            raise UserError(
                f"{dataset}: no undesirable answer could be made for the {split} split "
                f"({reasons or 'negatives.per_positive asks for none'}); change negatives: in its dataset.yaml"
            )


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
