"""Label Studio's exports, JSON and JSON_MIN: choices, ratings and pairwise comparisons by annotators.

The labelling configuration names everything: `fields: label` is the control that is the vote (`from_name`), and prompt,
completion, system and conversation are fields of a task's data. Of a pairwise comparison completion names both
answers, left then right ("answer_a, answer_b"), unless `to_name` already names fields of the data.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kto_recipes.sources.annotated import (
    ANSWERS,
    PROMPTS,
    SYSTEMS,
    Asked,
    choice_label,
    conversation_in,
    each,
    exchange_in,
    is_label,
    read_annotated,
    the_vote,
    without_completion,
)
from kto_recipes.sources.records import ReadOptions, Record
from kto_recipes.sources.row_format import columns_of, file_fits
from kto_recipes.sources.shapes import LeaveOut, pair, rated, seconds_of
from kto_recipes.sources.tabular import Row, kind_of
from kto_recipes.sources.votes import as_id

NAME = "label_studio"
LOOKS_FOR = "tasks with data and annotations, or (JSON_MIN) with annotator, annotation_id and lead_time"

_KINDS = {"choices": "choices", "rating": "rating", "pairwise": "selected"}  # a result's type → where its value is
_MIN_COLUMNS = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}


def fits(row: Row) -> bool:
    is_task = isinstance(row.get("data"), dict) and isinstance(row.get("annotations", row.get("completions")), list)
    return is_task or {"annotator", "annotation_id", "lead_time"} <= row.keys()


def _records_of(row: Row, where: str, options: ReadOptions, asked: Asked) -> Iterator[Record]:
    if "annotation_id" in row:
        row = _as_task(row, options)
    data = row["data"]
    annotations = row.get("annotations", row.get("completions"))
    if not annotations:
        raise LeaveOut("no vote")
    places = [f"{where}: annotations[{number}]" for number in range(len(annotations))]
    task = as_id(row.get("id"))
    yield from each(
        (
            (place, partial(_of_annotation, annotation, data, task, place, options, asked))
            for place, annotation in zip(places, annotations, strict=True)
        ),
        options,
    )


def _of_annotation(
    annotation: Any, data: Row, task: str | None, where: str, options: ReadOptions, asked: Asked
) -> list[Record]:
    if not isinstance(annotation, dict):
        raise ValueError(f"the annotation is {kind_of(annotation)}; expected an object")
    if annotation.get("was_cancelled") is True or annotation.get("skipped") is True:
        raise LeaveOut("skipped by the annotator")
    given = annotation.get("result")
    results = {_name(result): result for result in (given if isinstance(given, list) else []) if _is_vote(result)}
    result = results[the_vote(results, options, where, asked)]
    time = annotation.get("updated_at")
    more = {
        "conversation": conversation_in(data, options, None if task is None else f"task {task}"),
        "rater": _annotator(annotation.get("completed_by")),
        "time": seconds_of(annotation.get("created_at") if time is None else time),
    }
    said = result["value"].get(_KINDS[result["type"]])
    targets = [name.strip() for name in str(as_id(result.get("to_name")) or "").split(",")]
    if result["type"] == "pairwise":
        return _pair(said, targets, data, where, options, more)
    prompt, answer = exchange_in(data, options, targets[0] if targets[0] in data else None)
    return [rated(prompt, answer, choice_label(said, options), where, **more)]


def _is_vote(result: Any) -> bool:
    is_control = isinstance(result, dict) and isinstance(result.get("value"), dict)
    return is_control and isinstance(result.get("type"), str) and result["type"] in _KINDS


def _name(result: Row) -> str:
    return as_id(result.get("from_name")) or result["type"]


def _annotator(value: Any) -> str | None:
    """An id, or an object with one."""
    return as_id(value.get("id")) or as_id(value.get("email")) if isinstance(value, dict) else as_id(value)


def _pair(said: Any, targets: list[str], data: Row, where: str, options: ReadOptions, more: dict) -> list[Record]:
    named = [name.strip() for name in options.fields.get("completion", "").split(",")]
    left_right = next((names for names in (named, targets) if len(names) == 2 and set(names) <= data.keys()), None)
    if left_right is None:
        raise ValueError(
            f"{columns_of(data)}; say which are the left and the right answer: "
            '--map completion="LEFT, RIGHT" (fields: in dataset.yaml)'
        )
    if said not in ("left", "right"):
        raise LeaveOut("no vote")
    others = {name: value for name, value in data.items() if name not in left_right}
    (prompt, left), (_, right) = (
        exchange_in(others | {name: data[name]}, without_completion(options), name) for name in left_right
    )
    chosen, rejected = (left, right) if said == "left" else (right, left)
    return list(pair(prompt, chosen, rejected, where, **more))


# --- JSON_MIN -----------------------------------------------------------------------------------------------


def _as_task(row: Row, options: ReadOptions) -> Row:
    """A JSON_MIN row, which is one annotation with the data around it, as a task with that annotation."""
    results = {name: result for name in row if (result := _result(name, row[name], options)) is not None}
    data = {name: value for name, value in row.items() if name not in results and name not in _MIN_COLUMNS}
    if not results and "label" not in options.fields:
        raise ValueError(f"{columns_of(data)}; say which is the vote: --map label=NAME (fields: in dataset.yaml)")
    annotation = {
        "completed_by": row.get("annotator"),
        "created_at": row.get("created_at"),
        "updated_at": row.get("updated_at"),
        "result": list(results.values()),
    }
    return {"id": row.get("id"), "data": data, "annotations": [annotation]}


def _result(name: str, value: Any, options: ReadOptions) -> Row | None:
    """A column as a control's result, if it is one: {"choices": […]}, [{"rating": 4}], or one choice as bare text."""
    if name in _MIN_COLUMNS or value is None:
        return None
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]
    if isinstance(value, dict):
        kind = next((kind for kind, key in _KINDS.items() if key in value), None)
        return None if kind is None else {"from_name": name, "type": kind, "value": value}
    named = options.fields.get("label")
    is_text = name in (*PROMPTS, *ANSWERS, *SYSTEMS, *options.fields.values())
    may_be_vote = name == named or (
        named is None and not is_text and is_label(value, ReadOptions({}, options.label_map))
    )
    if isinstance(value, str) and may_be_vote:
        return {"from_name": name, "type": "choices", "value": {"choices": [value]}}
    return None


def looks_like(head: bytes, path: Path) -> bool:
    return file_fits(path, fits)


def read(path: Path, options: ReadOptions) -> Iterator[Record]:
    return read_annotated(path, options, LOOKS_FOR, fits, _records_of)
