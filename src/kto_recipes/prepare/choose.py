"""From entries to what each file holds: votes settled, repetitions gone, the split and the order of training."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from kto_recipes.errors import UserError
from kto_recipes.prepare.duplicates import leave_out_near, leave_out_repeated
from kto_recipes.prepare.entries import ANSWER, CONVERSATION, Entries
from kto_recipes.prepare.order import sibling_distance, training_order
from kto_recipes.prepare.split import held_out, joined_groups
from kto_recipes.prepare.votes import resolve_votes
from kto_recipes.settings import DatasetSettings, Split

SPLITS = ("train", "eval")


@dataclass(slots=True)
class Chosen:
    """The rows of each file, as numbers of entries in their final order, and what was seen on the way.

    `kind` is `kto` where there are answers of both labels, `positives` where all are desirable.
    """

    kind: str
    files: dict[str, np.ndarray]
    read: int
    left_out: Counter[str]
    sft_left_out: Counter[str]
    groups: dict[str, int]
    distance: dict[str, int | None]


def choose(entries: Entries, settings: DatasetSettings, where: str, *, is_chat: bool) -> Chosen:
    """Decide what is written.

    Args:
        where: the source, for messages.
        is_chat: keep conversations that are repeated: saying the same twice is part of how a person talks.

    Raises:
        UserError: where nothing can be trained on what remains.
    """
    resolve_votes(entries, settings)
    leave_out_repeated(entries)
    if not is_chat:
        leave_out_repeated(entries, conversations=True)
    if settings.clean.near_duplicates is not None:
        leave_out_near(entries, settings.clean.near_duplicates)
    of = entries.of
    is_answer = of["kind"] != CONVERSATION
    left_out = entries.counts(is_answer)
    answers = np.flatnonzero(is_answer & (of["reason"] == 0))
    kind = _kind(of["label"][answers], left_out, where)
    representative, is_held_out = _split(of, answers, settings.split)
    sft, sft_left_out = _sft_rows(entries)
    files: dict[str, np.ndarray] = {}
    for split in SPLITS:
        is_here = is_held_out == (split == "eval")
        files[f"sft.{split}.jsonl"] = sft[is_here[sft]]
        mine = answers[is_here[answers]]
        order = training_order(of["prompt_id"][mine], of["label"][mine], settings.split.seed)
        files[f"{kind}.{split}.jsonl"] = mine[order]
    _check_splits(files, kind, of, settings.split, where)
    return Chosen(
        kind=kind,
        files=files,
        read=int(is_answer.sum()),
        left_out=left_out,
        sft_left_out=sft_left_out,
        groups={split: _groups(representative, files, kind, split) for split in SPLITS},
        distance={split: sibling_distance(of["prompt_id"][files[f"{kind}.{split}.jsonl"]]) for split in SPLITS},
    )


def _groups(representative: np.ndarray, files: dict[str, np.ndarray], kind: str, split: str) -> int:
    rows = np.concatenate([files[f"{name}.{split}.jsonl"] for name in ("sft", kind)])
    return int(np.count_nonzero(np.diff(np.sort(representative[rows])))) + 1


def _kind(labels: np.ndarray, left_out: Counter[str], where: str) -> str:
    if len(labels) == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
        raise UserError(f"{where}: no answer to learn from ({reasons or 'it holds no records'})")
    if not labels.any():
        raise UserError(
            f"{where}: all {len(labels)} answers are undesirable; KTO needs good ones, too. If the labels mean the "
            "opposite, say so with label_map or threshold in dataset.yaml"
        )
    return "positives" if labels.all() else "kto"


def _split(of: np.ndarray, answers: np.ndarray, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Each entry's joined group, and whether it is held out; `answers` are the entries that count as rows.

    Of all answers, those left out, too: where one was said word for word in two conversations, those belong
    together most of all.
    """
    representative = np.zeros(len(of), dtype=np.uint64)
    has_group = of["prompt"] > 0  # a record that became nothing has none
    representative[has_group] = joined_groups(of["group"][has_group], of["prompt_id"][has_group])
    counted = np.zeros(len(of), dtype=bool)
    counted[answers] = True
    return representative, held_out(representative, split.eval_fraction, counted, split.eval_at_most)


def _sft_rows(entries: Entries) -> tuple[np.ndarray, Counter[str]]:
    """What SFT learns from: conversations as a whole, and desirable answers with their prompts.

    SFT trains on every reply in a row. So of a conversation of which several answers were rated only the longest
    row is written, and none in whose history an undesirable answer stands.
    """
    of = entries.of
    kept = of["reason"] == 0
    conversations = np.flatnonzero(kept & (of["kind"] == CONVERSATION))
    rated = kept & (of["kind"] == ANSWER)
    history_of, in_history = entries.earlier["entry"], entries.earlier["answer_id"]
    is_bad = np.isin(in_history, of["answer_id"][rated & ~of["label"]])
    answers = np.zeros(len(of), dtype=bool)
    answers[rated & of["label"]] = True
    wanted = int(answers.sum())
    answers[history_of[is_bad]] = False
    after_bad = wanted - int(answers.sum())
    is_covered = np.isin(of["answer_id"], in_history[answers[history_of]])
    covered = int((answers & is_covered).sum())
    answers &= ~is_covered
    counts = {
        "an earlier answer is undesirable": after_bad,
        "part of a longer conversation": covered,
        **entries.counts(of["kind"] == CONVERSATION),
    }
    rows = np.sort(np.concatenate([conversations, np.flatnonzero(answers)]))
    return rows, Counter({reason: n for reason, n in counts.items() if n})


def _check_splits(files: dict[str, np.ndarray], kind: str, of: np.ndarray, split: Split, where: str) -> None:
    mend = "change the fraction or the seed, or bring more conversations"
    for name in SPLITS:
        rows = files[f"{kind}.{name}.jsonl"]
        if len(rows) == 0:
            conversations = len(np.unique(of["group"][of["prompt"] > 0]))
            raise UserError(
                f"{where}: the {name} split is empty: {conversations} conversations and split.eval_fraction "
                f"{split.eval_fraction:g}; {mend}"
            )
        # The held-out rows may be of one class, but SFT is measured on desirable ones.
        if len(files[f"sft.{name}.jsonl"]) == 0:
            raise UserError(f"{where}: of {len(rows)} answers in the {name} split SFT can learn none; {mend}")
    labels = of["label"][files[f"{kind}.train.jsonl"]]
    if kind == "kto" and labels.all():
        raise UserError(f"{where}: all {len(labels)} answers in the train split are desirable; {mend}")
