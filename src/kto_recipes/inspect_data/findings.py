"""What to mend before training: sentences on what was found, each with what to do."""

from collections.abc import Iterator

from kto_recipes.doctor.finding import Finding
from kto_recipes.inspect_data.lengths import Lengths
from kto_recipes.inspect_data.repeats import Repeats
from kto_recipes.inspect_data.scan import Side
from kto_recipes.inspect_data.shortcuts import Separation, at_fault, sentence
from kto_recipes.inspect_data.words import count

OFTEN = 0.02  # of a file's rows with one and the same completion
SHOWN_TEXT = 60


def findings(
    train: Side, repeats: Repeats, lengths: Lengths, shared: tuple[int, int], separations: list[Separation]
) -> list[Finding]:
    """Everything that wants mending, the most damaging first; empty where there is nothing."""
    return [
        *_classes(train),
        *_contradictions(repeats, train),
        *_shared(shared),
        *_shortcuts(separations),
        *_too_long(lengths),
        *_repeated(repeats, train),
    ]


def _classes(train: Side) -> Iterator[Finding]:
    for label, name in ((True, "desirable"), (False, "undesirable")):
        if not train.labels[label]:
            yield Finding(
                "classes",
                "warning",
                f"there are no {name} answers in {train.path.name}; KTO needs both kinds",
                "`make negatives` makes undesirable answers." if name == "undesirable" else "",
            )


def _contradictions(repeats: Repeats, train: Side) -> Iterator[Finding]:
    if repeats.contradictions:
        yield Finding(
            "contradictions",
            "warning",
            f"{count(repeats.contradictions, 'answer')} to the same prompt {_is(repeats.contradictions)} both "
            f"desirable and undesirable there ({repeats.contradictory_rows:,} of {train.rows:,} rows)",
            "Settle them with contradictions: in dataset.yaml (drop, majority or latest).",
        )


def _shared(shared: tuple[int, int]) -> Iterator[Finding]:
    if shared[0]:
        yield Finding(
            "leak",
            "warning",
            f"{shared[0]:,} of {count(shared[1], 'held-out prompt')} {_is(shared[0])} trained on, too",
            "Split by prompt: all answers to one prompt on one side.",
        )


def _shortcuts(separations: list[Separation]) -> Iterator[Finding]:
    for strategy, shortcuts in at_fault(separations).items():
        if {it.features for it in shortcuts} == {"characters"}:
            advice = "Meant where the manner of the answers is what is to be learned; else drop or rewrite the phrase."
        elif strategy is None:
            advice = "Look at how the votes came about; match the classes in it, or leave the clearest cases out."
        else:
            advice = f"Make {strategy}'s answers alike in it, or lower its share under negatives.strategies."
        yield Finding("shortcut", "warning", sentence(strategy, shortcuts), advice)


def _too_long(lengths: Lengths) -> Iterator[Finding]:
    if lengths.too_long:
        yield Finding(
            "too_long",
            "warning",
            f"{lengths.too_long:,} of {count(lengths.counted, 'row')} counted {_is(lengths.too_long)} longer than "
            f"sequence_len {lengths.limit} and would be dropped",
            "Raise sequence_len, or shorten prompts (turns.max_history_turns).",
        )


def _repeated(repeats: Repeats, train: Side) -> Iterator[Finding]:
    if repeats.duplicates:
        yield Finding(
            "duplicates",
            "warning",
            f"{count(repeats.duplicates, 'row')} repeat{'s' * (repeats.duplicates == 1)} an earlier one in prompt, "
            "completion and label",
            "They weigh more than the others; leave them out.",
        )
    for repeated in repeats.completions:
        if repeated.rows > max(OFTEN * train.rows, 2):
            text = repeated.text if len(repeated.text) <= SHOWN_TEXT else repeated.text[: SHOWN_TEXT - 1] + "…"
            yield Finding(
                "repeated",
                "warning",
                f"the completion “{' '.join(text.split())}” is in {repeated.rows:,} of {train.rows:,} rows",
                "Keep a few of them, or the model learns to say it to anything.",
            )


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
