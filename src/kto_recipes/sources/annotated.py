"""What annotation tools share: records whose fields and questions bear names that somebody chose."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.rows import Message
from kto_recipes.sources.records import LeftOut, ReadOptions, Record, as_label
from kto_recipes.sources.row_format import columns_of, read_file
from kto_recipes.sources.shapes import LeaveOut, prompt_and_answer
from kto_recipes.sources.tabular import Row
from kto_recipes.sources.votes import or_left_out, scalar, several, star_label

PROMPTS = ("prompt", "question", "instruction", "input", "query", "messages", "conversation", "dialogue", "chat")
ANSWERS = ("completion", "response", "answer", "output", "reply", "generation", "text")
SYSTEMS = ("system", "system_prompt")

Asked = set[str]  # the names of the questions seen so far
RecordsOf = Callable[[Row, str, ReadOptions, Asked], Iterator[Record]]


def read_annotated(
    path: Path, options: ReadOptions, looks_for: str, fits: Callable[[Row], bool], records_of: RecordsOf
) -> Iterator[Record]:
    """The records of a file in which `fields` names parts of a record, and fields: label the question that is the vote.

    Which questions there are is known of the whole file alone, so such a file is not read in parts.

    Raises:
        UserError: when there are several questions and none is named, or the one that is named does not exist.
    """
    asked: Asked = set()
    # Columns are not renamed here: the names in `fields` are those of parts within a record.
    bare = ReadOptions(label_map=options.label_map, threshold=options.threshold, on_trouble=options.on_trouble)

    def records_of_row(row: Row, where: str, _: ReadOptions) -> Iterator[Record]:
        return records_of(row, where, options, asked)

    yield from read_file(path, bare, looks_for, fits, records_of_row)
    named = options.fields.get("label")
    if named is not None and asked and named not in asked:
        raise UserError(f"{path}: no question is called {named!r}; there are: {', '.join(sorted(asked)[:20])}")


def the_vote(names: Iterable[str], options: ReadOptions, where: str, asked: Asked) -> str:
    """Which of the questions answered here is the vote.

    Raises:
        LeaveOut: when it is not among them.
        UserError: when there have been several, and none is named.
    """
    names = set(names)
    asked |= names
    named = options.fields.get("label")
    if named is None and len(asked) > 1:
        raise several(asked, where, "question")
    name = named if named is not None else next(iter(asked), None)
    if name not in names:
        raise LeaveOut("no vote")
    return name


def each(makers: Iterable[tuple[str, Callable[[], list[Record]]]], options: ReadOptions) -> Iterator[Record]:
    """The records of each maker, or what stands for them; a place and a maker for each annotation."""
    for where, make in makers:
        made = or_left_out(make, where, options)
        yield from [made] if isinstance(made, LeftOut) else made


def exchange_in(data: Row, options: ReadOptions, answer: str | None = None) -> tuple[list[Message], str]:
    """The prompt and the answer among a record's fields; `answer` is the field that is the answer, where it is known.

    Raises:
        LeaveOut, ValueError: as `prompt_and_answer`, and when it cannot be told which field is which.
    """
    answer = _named(data, options, "completion") or answer or _first(data, ANSWERS)
    prompt = _named(data, options, "prompt") or _first(data, [name for name in PROMPTS if name != answer])
    system = _named(data, options, "system") or _first(data, SYSTEMS)
    if answer is None and prompt is not None and isinstance(data[prompt], list):
        prompt, answer = None, prompt  # a whole conversation, whose last message is the answer
    if answer is None or (prompt is None and isinstance(data[answer], str)):
        missing = "completion" if answer is None else "prompt"
        raise ValueError(
            f"{columns_of(data)}; say which is the {missing}: --map {missing}=NAME (fields: in dataset.yaml)"
        )
    return prompt_and_answer(data[prompt] if prompt else None, data[answer], data[system] if system else None)


def without_completion(options: ReadOptions) -> ReadOptions:
    """`options` for records with several answers, each of which is named when it is read."""
    return ReadOptions({name: field for name, field in options.fields.items() if name != "completion"})


def conversation_in(data: Row, options: ReadOptions, otherwise: Any) -> str | None:
    name = _named(data, options, "conversation")
    value = otherwise if name is None else data[name]
    return None if value in (None, "") or isinstance(value, dict | list) else str(value)


def choice_label(choices: Any, options: ReadOptions) -> bool:
    """The label of what was ticked; of several boxes those count that are a label.

    Raises:
        LeaveOut: when nothing was ticked, or both kinds were.
        ValueError: when none of them is a label, with what to say in dataset.yaml.
    """
    labels: set[bool] = set()
    errors = []
    for choice in choices if isinstance(choices, list) else [choices]:
        try:
            labels.add(star_label(choice, options))
        except LeaveOut:
            pass  # an empty choice
        except ValueError as error:
            errors.append(error)
    if errors and not labels:
        raise errors[0]
    if len(labels) != 1:
        raise LeaveOut("both labels" if labels else "no vote")
    return labels.pop()


def is_label(value: Any, options: ReadOptions) -> bool:
    """Whether a value can be read as a label."""
    try:
        return as_label(scalar(value), options) is not None
    except ValueError:
        return False


def _named(data: Row, options: ReadOptions, name: str) -> str | None:
    field = options.fields.get(name)
    if field is not None and field not in data:
        raise ValueError(f"no field {field}, to which {name} is mapped; {columns_of(data)}")
    return field


def _first(data: Row, names: Iterable[str]) -> str | None:
    return next((name for name in names if data.get(name) not in (None, "", [])), None)
