"""An inspection as texts in tables; the page and the terminal show the same ones."""

from collections import Counter
from dataclasses import dataclass

from kto_recipes.inspect_data.inspection import Inspection
from kto_recipes.inspect_data.lengths import histogram, quantiles
from kto_recipes.inspect_data.shortcuts import FEATURES, SHORTCUT, Separation
from kto_recipes.inspect_data.words import count, percent

NONE = "–"
CLASSES = ((True, "desirable"), (False, "undesirable"))
_MOST_TURNS = 8  # a longer prompt is counted with these
_RARE = 0.05  # of the answers: a language found in fewer is as likely a wrong guess


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[tuple[str, list[str]]]  # each with its heading


@dataclass(frozen=True)
class AuditRow:
    """One line of the audit: whose undesirable answers, and what was found for each kind of feature."""

    name: str
    cells: list[tuple[str, bool]]  # the AUC, and whether it is a shortcut
    compared: str
    chance: str  # what rows without a difference give
    tells: list[tuple[str, str]]  # kind of feature, what differs most


def classes(inspection: Inspection) -> Table:
    rows = [
        (side.name, [f"{side.rows:,}", f"{side.labels[True]:,}", f"{side.labels[False]:,}", _balance(side.labels)])
        for side in inspection.sides
    ]
    return Table(["rows", "desirable", "undesirable", "balance"], rows)


def facts(inspection: Inspection) -> list[tuple[str, str]]:
    """What is counted over all rows to train on, and one line on what is held out."""
    train, repeats = inspection.train, inspection.repeats
    found = [
        ("prompts", f"{repeats.prompts:,} different, {repeats.paired_prompts:,} of them with both kinds of answer"),
        ("prompts with a system message", percent(train.with_system / train.rows)),
        ("sources", _listed(train.sources, train.rows)),
    ]
    if train.strategies:
        made = train.strategies.copy()
        if given := train.labels[False] - made.total():
            made["as given"] = given
        found.append(("undesirable answers by strategy", _listed(made, train.labels[False])))
    found += [
        ("duplicate rows", f"{repeats.duplicates:,}"),
        ("answers with both labels", f"{repeats.contradictions:,}, in {count(repeats.contradictory_rows, 'row')}"),
    ]
    if inspection.held_out:
        shared, prompts = inspection.shared
        found.append(("held-out prompts trained on", f"{shared:,} of {prompts:,}"))
    return found


def lengths(inspection: Inspection) -> Table:
    rows = []
    for what, by_label in (("answers", inspection.lengths.answers), ("whole rows", inspection.lengths.rows)):
        for label, name in CLASSES:
            if (found := quantiles(by_label[label])) is not None:
                cells = [f"{value:,.0f}" for value in (found.low, found.median, found.mean, found.high, found.longest)]
                rows.append((f"{what}, {name}", cells))
    return Table([percent(0.05), "median", "mean", percent(0.95), "longest"], rows)


def lengths_caption(inspection: Inspection) -> str:
    found = inspection.lengths
    sampled = f" of {inspection.train.rows:,}, sampled" if found.counted < inspection.train.rows else ""
    counted = f"Counted in {count(found.counted, 'row')}{sampled}."
    if found.unit == "words":
        why = "no recipe was named" if inspection.recipe is None else "the recipe's tokenizer is not on this machine"
        return f"In words, because {why}. {counted}"
    limit = f" sequence_len {found.limit}: {found.too_long:,} longer." if found.limit else ""
    return f"In tokens of {inspection.recipe.base_model}, whole rows with its template. {counted}{limit}"


def turns(inspection: Inspection) -> Table:
    """The share of each class's prompts by their user turns."""
    by_label = {label: _capped(inspection.train.turns[label]) for label, _ in CLASSES}
    numbers = sorted(by_label[True] | by_label[False])
    shown = [name for label, name in CLASSES if by_label[label]]
    rows = [
        (
            f"{n} and more" if n == _MOST_TURNS else str(n),
            [percent(by_label[label][n] / by_label[label].total()) for label, _ in CLASSES if by_label[label]],
        )
        for n in numbers
    ]
    return Table(shown, rows)


def languages(inspection: Inspection) -> Table:
    """The share of each class's answers by language; the rare ones, mostly wrong guesses, together."""
    shown = [(found, name) for label, name in CLASSES if (found := inspection.languages[label])]
    names = Counter[str]()
    for found, _ in shown:
        names |= Counter({name: n for name, n in found.items() if n >= _RARE * found.total()})
    rows = [
        (name, [percent(found[name] / found.total()) for found, _ in shown])
        for name in sorted(names, key=lambda name: -sum(found[name] for found, _ in shown))
    ]
    rest = [1 - sum(found[name] for name in names) / found.total() for found, _ in shown]
    if any(share > 1e-9 for share in rest):
        rows.append(("others", [percent(share) for share in rest]))
    return Table([name for _, name in shown], rows)


def audit(inspection: Inspection) -> list[AuditRow]:
    by_strategy: dict[str | None, list[Separation]] = {}
    for separation in inspection.separations:
        by_strategy.setdefault(separation.strategy, []).append(separation)
    return [_audit_row(strategy, found, len(by_strategy) == 1) for strategy, found in by_strategy.items()]


def audit_caption(inspection: Inspection) -> str:
    if not inspection.separations:
        return "Not looked at: there is one class only."
    sampled = (
        any(it.is_sampled for it in inspection.separations) or len(inspection.train.sample) < inspection.train.rows
    )
    return (
        "Cross-validated AUC, folds by prompt: 0.5 where the classes do not differ, 1 where they lie apart. "
        f"Above {SHORTCUT:g} the model will learn that. By chance it is within the range given, 19 times in 20. "
        f"Compared are so many desirable and undesirable answers{', samples drawn by a seed' if sampled else ''}."
    )


def plots(inspection: Inspection) -> list[dict]:
    """{id, title, about, x title, bins: x, desirable, undesirable, limit}: shares of each class, for page.js."""
    found = inspection.lengths
    shapes = (
        ("answers", "Length of answers", "The classes should overlap.", found.answers, None),
        ("rows", "Length of whole rows", "Prompt, answer and template together.", found.rows, found.limit),
    )
    return [
        {
            "id": f"plot-{name}",
            "title": title,
            "about": about,
            "unit": found.unit,
            "limit": limit if found.unit == "tokens" else None,
            **histogram(by_label),
        }
        for name, title, about, by_label, limit in shapes
    ]


def one_line(table: Table) -> str:
    """Each column of shares as a phrase: "desirable: it (51 %), en (47 %)"; one phrase where all columns agree."""
    phrases = [
        ", ".join(f"{name} ({cells[i]})" for name, cells in table.rows if cells[i] != percent(0))
        for i in range(len(table.columns))
    ]
    if len(set(phrases)) == 1:
        return phrases[0]
    return "; ".join(f"{column}: {phrase}" for column, phrase in zip(table.columns, phrases, strict=True))


def _audit_row(strategy: str | None, found: list[Separation], is_only: bool) -> AuditRow:
    """What differs is told for each strategy, or for all where there are none."""
    first = found[0]
    cells = [(NONE if it.auc is None else f"{it.auc:.2f}", it.is_shortcut) for it in found]
    too_few = "" if any(it.auc is not None for it in found) else "; too few to say"
    compared = f"{first.n_desirable:,} : {first.n_undesirable:,}{too_few}"
    tells = [(FEATURES[it.features], it.tell) for it in found if it.tell and (strategy or is_only)]
    name = "all undesirable" if strategy is None else strategy
    return AuditRow(name, cells, compared, f"0.5 ± {first.chance:.2f}", tells)


def _balance(labels: Counter[bool]) -> str:
    if not labels[True] or not labels[False]:
        return NONE
    ratio = labels[True] / labels[False]
    return f"{ratio:.3g} : 1" if ratio >= 1 else f"1 : {1 / ratio:.3g}"


def _capped(turns: Counter[int]) -> Counter[int]:
    capped = Counter[int]()
    for n, rows in turns.items():
        capped[min(n, _MOST_TURNS)] += rows
    return capped


def _listed(counts: Counter[str], total: int) -> str:
    return ", ".join(f"{name} {percent(n / total)}" for name, n in counts.most_common())
