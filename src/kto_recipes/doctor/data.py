"""What is wrong with the data a recipe names, before anything is loaded. Imports neither torch nor Axolotl."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kto_recipes.doctor.data_files import look_at
from kto_recipes.doctor.data_rows import Lengths, SideSeen
from kto_recipes.doctor.finding import Finding, Status
from kto_recipes.doctor.micro_batches import Count, MicroBatches
from kto_recipes.doctor.tokens import LocalTokenizer, load_tokenizer
from kto_recipes.errors import UserError
from kto_recipes.prepare.weights import ALLOWED, ratio, suggest

_AXOLOTLS_SEQUENCE_LEN = 512  # where a recipe says none
_SIDES = {"datasets": "train", "test_datasets": "eval"}
# What a row can have wrong by itself, and what to do; an error each.
_ROW_TROUBLE = {
    "rows": "Mend the rows; datasets/README.md has a good and a bad one of each kind.",
    "labels": "Write true or false: TRL takes -1 for desirable without a word and stops at a text.",
    "empty_completion": "Leave such rows out: they teach the model to say nothing.",
    "special_tokens": "Break such strings, as in `< |`: they become control tokens and forge turns.",
    "template": "Choose the chat_template and special_tokens that belong to the model.",
}
# With these a file's rows do not mean what they say, and nothing that is counted from them would be true.
_MEANINGLESS_WITH = ("rows", "labels")
_MINORITY = 0.2  # a class with a smaller share cannot be in most micro-batches in any order
_FEW = 0.1  # share of rows up to which a trouble is a warning
_MOST = 0.5
_HARMFUL_RATIO = (0.5, 3.0)  # beyond these one class all but drowns the other


def data_findings(recipe: dict[str, Any], where: str) -> list[Finding]:
    """Findings on the local .jsonl files that `recipe` trains and evaluates on; `where` names the recipe.

    A file must be good for stock Axolotl, whose order of training is the file's, and so are its mismatched pairs.
    The rows are read once, line by line; what is kept of each is a few fingerprints of 8 bytes.
    """
    if recipe.get("rl") not in (None, "kto"):
        return []
    findings: list[Finding] = []
    try:
        tokenizer = load_tokenizer(recipe)
    except UserError as error:
        findings.append(Finding("template", "error", f"{where}: {error}", "Mend base_model or chat_template."))
        tokenizer = None
    sides = []
    for key in _SIDES:
        files, not_read = look_at(recipe, key)
        findings += not_read
        if files:
            side = _side(recipe, key, files, tokenizer)
            try:
                side.read(is_kto=recipe.get("rl") == "kto")
            except UserError as error:
                findings.append(Finding("data_file", "error", str(error), "Mend that line or leave it out."))
                continue
            sides.append(side)
            findings += _of_side(side, recipe, where)
    findings += _leak(sides, "prompts" if recipe.get("rl") == "kto" else "conversations")
    return findings


def _side(recipe: dict[str, Any], key: str, files: list[Path], tokenizer: LocalTokenizer | None) -> SideSeen:
    name = _SIDES[key]
    limit = int(_number(recipe.get("sequence_len"), _AXOLOTLS_SEQUENCE_LEN))
    size = recipe.get("micro_batch_size") if name == "train" else recipe.get("eval_batch_size")
    size = int(_number(size, 1))
    is_in_order = recipe.get("rl") == "kto" and recipe.get("shuffle_merged_datasets") is False and size > 1
    return SideSeen(name, files, Lengths(limit, tokenizer), MicroBatches(size) if is_in_order else None)


def _of_side(side: SideSeen, recipe: dict[str, Any], where: str) -> Iterator[Finding]:
    files = ", ".join(map(str, side.files))
    if side.rows == 0:
        yield Finding("data_file", "error", f"{files}: holds no rows", "Prepare the data again.")
        return
    for check, advice in _ROW_TROUBLE.items():
        if trouble := side.trouble.get(check):
            more = f" ({trouble.rows} of {side.rows} rows)" if side.rows > 1 else ""
            yield Finding(check, "error", trouble.first + more, advice)
    yield from _lengths(side, files)
    if any(check in side.trouble for check in _MEANINGLESS_WITH) or not side.trained:
        return
    yield from _repeats(side, files)
    if recipe.get("rl") == "kto":
        yield from _classes(side, files)
        yield from _order(side, files, has_pairs=_settings(recipe).get("loss_type") != "apo_zero_unpaired")
        if side.name == "train" and len(side.labels) == 2:
            yield from _weights(side.labels[True], side.labels[False], recipe, where)
    yield Finding("data", "ok", f"{files}: {_counts(side, recipe)}")


def _counts(side: SideSeen, recipe: dict[str, Any]) -> str:
    if recipe.get("rl") != "kto":
        return f"{side.rows} conversations"
    return f"{side.rows} rows, {side.labels[True]} desirable and {side.labels[False]} undesirable"


def _lengths(side: SideSeen, files: str) -> Iterator[Finding]:
    lengths = side.lengths
    if not lengths.too_long.rows:
        return
    is_all = lengths.too_long.rows == side.rows
    status: Status = (
        "error" if is_all or (side.name == "train" and lengths.too_long.rows > _FEW * side.rows) else "warning"
    )
    least = "" if lengths.tokenizer else "at least "
    count = (
        f"none of {side.rows} rows fits" if is_all else f"{least}{lengths.too_long.rows} of {side.rows} rows do not fit"
    )
    yield Finding(
        "sequence_len",
        status,
        f"{files}: {count} sequence_len {lengths.limit}; the longest has {least}{lengths.longest} tokens "
        f"({lengths.longest_at})",
        "Axolotl drops such rows, with one line among hundreds; raise sequence_len or shorten the prompts.",
    )


def _repeats(side: SideSeen, files: str) -> Iterator[Finding]:
    distinct = {label: np.unique(np.array(answers, dtype=np.int64)) for label, answers in side.answers.items()}
    trained = side.trained.total()
    repeated = trained - sum(len(answers) for answers in distinct.values())
    if repeated > _FEW * trained:
        yield Finding(
            "repeated_rows",
            "error" if side.name == "train" and repeated > _MOST * trained else "warning",
            f"{files}: {repeated} of {trained} rows repeat an earlier one",
            "Leave repeated rows out; more epochs do the same on purpose.",
        )
    if both := len(np.intersect1d(distinct[True], distinct[False], assume_unique=True)):
        yield Finding(
            "both_labels",
            "warning",
            f"{files}: {both} answers to the same prompt stand there as desirable and as undesirable",
            "Keep one of the two: together they teach nothing.",
        )


def _classes(side: SideSeen, files: str) -> Iterator[Finding]:
    if len(side.trained) == 1:
        only = "desirable" if side.trained[True] else "undesirable"
        yield Finding(
            "one_class",
            "error" if side.name == "train" else "warning",
            f"{files}: every answer is {only}; KTO learns from both kinds",
            "Add rows of the other label; scripts/make_negatives.py makes undesirable ones.",
        )


def _order(side: SideSeen, files: str, *, has_pairs: bool) -> Iterator[Finding]:
    batches = side.batches
    if batches is None or not batches.blocks:
        return
    trained = side.trained.total()
    shares = [count / trained for count in side.trained.values()]
    found = batches.of_one_class / batches.blocks
    # A shuffled file has few one-class micro-batches where they are large and the classes even, and more where not;
    # the line is halfway from that share to all of them, so about a half for micro-batches of 4 and more.
    shuffled = sum(share**batches.size for share in shares)
    if side.name == "train" and min(shares) >= _MINORITY and len(shares) == 2 and found >= (1 + shuffled) / 2:
        yield Finding(
            "order",
            "error",
            f"{files}: {found:.0%} of the micro-batches of {batches.size} rows are of one class, as in a sorted file",
            "Mix the lines, for example with shuf; stock Axolotl trains in the file's order.",
        )
    if not has_pairs:
        return
    yield from _mismatched(
        side, "duplicates", batches.same_answer, "the same answer", "Leave repeated answers out or move them apart."
    )
    yield from _mismatched(
        side, "neighbours", batches.same_prompt, "the same prompt", "Move the answers to one prompt apart."
    )
    if batches.last_is_alone:
        yield Finding(
            "last_micro_batch",
            "warning",
            f"{files}: the last micro-batch of {batches.size} holds one row, which TRL pairs with itself",
            "Leave one row out.",
        )


def _mismatched(side: SideSeen, check: str, count: Count, what: str, advice: str) -> Iterator[Finding]:
    if count.rows:
        trained = side.trained.total()
        yield Finding(
            check,
            "error" if side.name == "train" and count.rows > _FEW * trained else "warning",
            f"{count.first}: {what} as the row before it in its micro-batch, so that the pair for z0 is not "
            f"mismatched ({count.rows} of {trained} rows)",
            advice,
        )


def _weights(n_desirable: int, n_undesirable: int, recipe: dict[str, Any], where: str) -> Iterator[Finding]:
    if _settings(recipe).get("auto_weights"):
        return
    desirable, undesirable = (_weight(recipe, f"kto_{name}_weight") for name in ("desirable", "undesirable"))
    if desirable <= 0 or undesirable <= 0:
        yield Finding(
            "weights",
            "error",
            f"{where}: kto_desirable_weight {desirable:g} and kto_undesirable_weight {undesirable:g}: with a weight of "
            "0 that class is not learned from",
            "Set both above 0, or accept it with kto: {allow: [weights]}.",
        )
        return
    found = ratio(n_desirable, n_undesirable, desirable, undesirable)
    rounding = 1e-9
    if ALLOWED[0] - rounding <= found <= ALLOWED[1] + rounding:
        return
    better = suggest(n_desirable, n_undesirable)
    yield Finding(
        "weights",
        "warning" if _HARMFUL_RATIO[0] <= found <= _HARMFUL_RATIO[1] else "error",
        f"{where}: kto_desirable_weight {desirable:g} × {n_desirable} rows to kto_undesirable_weight {undesirable:g} × "
        f"{n_undesirable} is a ratio of {found:.2f}; 1 to 1.5 is advised",
        f"kto_desirable_weight: {better['desirable']:g} and kto_undesirable_weight: {better['undesirable']:g} make it "
        f"{better['ratio']:.2f}; avoiding harm may want a lower one.",
    )


def _weight(recipe: dict[str, Any], key: str) -> float:
    """1 where the recipe says nothing; a 0 is a 0, which the plugin hands to TRL."""
    try:
        return float(recipe.get(key, 1.0))
    except (TypeError, ValueError):
        return 1.0


def _leak(sides: list[SideSeen], what: str) -> Iterator[Finding]:
    if len(sides) != 2 or any(check in side.trouble for side in sides for check in _MEANINGLESS_WITH):
        return
    train, held_out = (np.unique(np.array(side.prompts, dtype=np.int64)) for side in sides)
    if shared := len(np.intersect1d(train, held_out, assume_unique=True)):
        yield Finding(
            "leak",
            "error",
            f"{', '.join(map(str, sides[1].files))}: {shared} of {len(held_out)} {what} are trained on, too",
            "Split by prompt: all answers to one prompt on one side.",
        )


def _settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """The plugin's own."""
    settings = recipe.get("kto")
    return settings if isinstance(settings, dict) else {}


def _number(value: Any, default: float) -> float:
    """`value` as Axolotl reads it, which takes a 0 and a blank for its default."""
    try:
        return float(value) or default
    except (TypeError, ValueError):
        return default
