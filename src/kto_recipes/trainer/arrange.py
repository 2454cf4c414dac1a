"""A tokenized dataset in the order of training, with its mismatched pairs."""

import logging

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, concatenate_datasets

from kto_recipes.trainer import order

logger = logging.getLogger(__name__)


def arranged(
    tokens: Dataset, name: str, batch_size: int, *, in_buckets: bool, with_pairs: bool, both_classes: bool
) -> Dataset:
    """`tokens` with rows of one micro-batch side by side, and the column `KL_completion_ids`.

    Args:
        tokens: `prompt_ids`, `completion_ids` and `label` of each row.
        name: the split's, for messages.
        batch_size: rows of a micro-batch in this split.
        in_buckets: whether rows are ordered by length; else they keep their order.
        with_pairs: whether the mismatched column is wanted.
        both_classes: whether one class alone is an error.

    Raises:
        ValueError: for one class, an empty completion, or one prompt for all.
    """
    prompts, completions = _lengths(tokens, "prompt_ids"), _lengths(tokens, "completion_ids")
    labels = _labels(tokens, name, both_classes)
    if len(completions) and completions.min() == 0:
        raise ValueError(f"{name}: row {int(completions.argmin())} has an empty completion")
    rows = order.without_single(labels, prompts + completions, batch_size)
    if len(rows) < len(labels):
        logger.warning("%s: one row is left out: as a micro-batch of one it would have no mismatched pair", name)
    if in_buckets:
        rows = rows[order.bucketed((prompts + completions)[rows], completions[rows], labels[rows], batch_size)]
    result = tokens.select(rows)
    if not with_pairs:
        return result
    partner = order.mismatched(_fingerprints(tokens, "prompt_ids")[rows], prompts[rows], completions[rows], batch_size)
    others = result.select_columns("completion_ids").select(partner)
    return concatenate_datasets([result, others.rename_column("completion_ids", "KL_completion_ids")], axis=1)


def refuse_bad_rows(dataset: Dataset, name: str) -> None:
    """Stop at a row that TRL would train on as something else: it takes −1 for desirable and learns from silence.

    Raises:
        ValueError: naming the first such row.
    """
    for number, label in enumerate(dataset["label"] if "label" in dataset.column_names else ()):
        if label not in (0, 1):
            raise ValueError(f"{name}: the label of row {number} is {label!r}; labels must be true or false")
    for number, completion in enumerate(dataset["completion"] if "completion" in dataset.column_names else ()):
        texts = [completion] if isinstance(completion, str) else [message.get("content") for message in completion]
        if all(isinstance(text, str) and not text.strip() for text in texts):
            raise ValueError(f"{name}: row {number} has an empty completion")


def class_counts(dataset: Dataset) -> tuple[int, int]:
    """How many rows are desirable and how many undesirable."""
    labels = np.asarray(dataset["label"]).astype(bool)
    return int(labels.sum()), int((~labels).sum())


def _fingerprints(tokens: Dataset, column: str) -> np.ndarray:
    """A number for each row, [rows] int64: the same where the token ids are."""
    found: list[int] = []
    for table in tokens.select_columns(column).with_format("arrow").iter(10_000):
        lists = table[column].combine_chunks()
        ids = lists.flatten().to_numpy()
        ends = np.cumsum(pc.list_value_length(lists).to_numpy())
        found += [hash(part.tobytes()) for part in np.split(ids, ends[:-1])]
    return np.array(found, dtype=np.int64)


def _lengths(tokens: Dataset, column: str) -> np.ndarray:
    """The number of tokens of each row, [rows]."""
    arrow = tokens.select_columns(column).with_format("arrow")
    parts = [pc.list_value_length(table[column]).to_numpy() for table in arrow.iter(10_000)]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)


def _labels(tokens: Dataset, name: str, both_classes: bool) -> np.ndarray:
    """[rows], true for desirable."""
    labels = np.asarray(tokens["label"]).astype(bool)
    if both_classes and len(np.unique(labels)) < 2:
        which = "desirable" if len(labels) and labels[0] else "undesirable"
        raise ValueError(f"{name}: every row is {which}; KTO needs both classes")
    return labels
