"""Prepare a chat export: SFT conversations and the persona's replies as desirable answers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kto_recipes.errors import UserError
from kto_recipes.prepare.manifest import (
    describe_input,
    describe_output,
    is_current,
    read_manifest,
    write_manifest,
)
from kto_recipes.prepare.order import interleave
from kto_recipes.prepare.split import is_eval, joined_groups
from kto_recipes.prepare.turns import (
    Conversation,
    conversations,
    find_persona,
    neutralise_special_tokens,
    other_name,
)
from kto_recipes.rows import KtoRow, Message, SftRow, check_kto_row, check_sft_row, prompt_key, write_jsonl
from kto_recipes.settings import DatasetSettings, load_settings
from kto_recipes.sources import Chat, read_chats

SPLITS = ("train", "eval")


@dataclass(slots=True)
class Prepared:
    """What `prepare` did, for the person who asked for it."""

    manifest: dict[str, Any]
    was_current: bool


def prepare(folder: Path) -> Prepared:
    """Prepare the dataset in `folder` as its dataset.yaml says; does nothing when that was done already.

    Writes {sft,positives}.{train,eval}.jsonl, then manifest.json.

    Raises:
        UserError: for settings or an export that cannot be used; no file is written then.
    """
    settings = load_settings(folder / "dataset.yaml")
    source = folder / settings.source
    if not source.exists():
        raise UserError(f"{source}: no such file; it is the source named in {folder / 'dataset.yaml'}")
    chat = None
    inputs = [describe_input(path, folder) for path in (folder / "dataset.yaml", source) if path.is_file()]
    recorded = settings.model_dump(mode="json")
    if len(inputs) == 2 and is_current(folder, inputs, recorded):
        return Prepared(read_manifest(folder), was_current=True)
    chat = _chosen_chat(source, settings)
    _write(folder, chat, settings, inputs, recorded)
    return Prepared(read_manifest(folder), was_current=False)


def _chosen_chat(source: Path, settings: DatasetSettings) -> Chat:
    chats = list(read_chats(source, settings.format))
    chosen = [chat for chat in chats if settings.chat in (None, chat.id, chat.name)]
    if len(chosen) == 1:
        return chosen[0]
    called = "" if settings.chat is None else f", {len(chosen) or 'none'} of them called {settings.chat!r}"
    names = ", ".join(f"{chat.name} ({chat.id}, {len(chat.messages)} messages)" for chat in (chosen or chats)[:20])
    raise UserError(
        f"{source}: holds {len(chats)} chats{called}; name one, or its id, as chat: in dataset.yaml: {names}"
    )


def _write(folder: Path, chat: Chat, settings: DatasetSettings, inputs: list, recorded: dict) -> None:
    messages_left_out: Counter[str] = Counter()
    persona_id = find_persona(chat, settings.persona)
    parts = list(conversations(chat, persona_id, settings.turns, messages_left_out))
    if not parts:
        raise UserError(
            f"{folder / settings.source}: {settings.persona} never replies to anybody in chat {chat.name!r}"
        )
    persona = next(m.sender_name for m in chat.messages if m.sender_id == persona_id and m.left_out is None)
    system = settings.system_prompt.format(persona=persona, other=other_name(chat, persona_id))
    system = neutralise_special_tokens(system)  # names are other people's text too
    source_name = settings.format or "telegram"
    sft = [_sft_row(part, system, source_name) for part in parts]
    replies = [
        row for part in parts for row in _reply_rows(part, system, source_name, settings.turns.max_history_turns)
    ]
    left_out: Counter[str] = Counter()
    kept = _without_repeats(replies, left_out)
    # Of all replies: where one was said word for word in two conversations, those belong together most of all.
    group_of = joined_groups((row["meta"]["group"], prompt_key(row)) for row in replies)

    def side(row: KtoRow | SftRow) -> str:
        group = group_of[row["meta"]["group"]]
        return "eval" if is_eval(group, settings.split.eval_fraction, settings.split.seed) else "train"

    rows_of: dict[str, list] = {}
    for split in SPLITS:
        rows_of[f"sft.{split}.jsonl"] = [row for row in sft if side(row) == split]
        rows_of[f"positives.{split}.jsonl"] = interleave(
            [row for row in kept if side(row) == split], settings.split.seed
        )
        if not rows_of[f"positives.{split}.jsonl"]:
            raise UserError(
                f"{folder}: the {split} split is empty: {len(parts)} conversations and split.eval_fraction "
                f"{settings.split.eval_fraction:g}; change the fraction or the seed, or bring more conversations"
            )
    written = {}
    for name, rows in rows_of.items():
        write_jsonl(folder / name, rows)
        desirable = len(rows) if name.startswith("positives") else 0
        written[name] = describe_output(folder / name, len(rows), desirable, 0)
    used = sum(turn.messages for part in parts for turn in part.turns)
    groups = {split: len({group_of[row["meta"]["group"]] for row in rows_of[f"sft.{split}.jsonl"]}) for split in SPLITS}
    write_manifest(
        folder,
        dataset=folder.name,
        inputs=inputs,
        read=len(replies),
        left_out=left_out,
        written=written,
        counted=tuple(f"positives.{split}.jsonl" for split in SPLITS),
        messages={
            "read": len(chat.messages),
            "in_turns": used,
            "left_out": dict(sorted(messages_left_out.items())),
        },
        groups=groups,
        settings=recorded,
    )


def _sft_row(part: Conversation, system: str, source: str) -> SftRow:
    messages = [Message(role="system", content=system), *_messages(part)]
    row = SftRow(messages=messages, meta={"id": part.id, "group": part.group, "source": source})
    return check_sft_row(row, part.id)


def _reply_rows(part: Conversation, system: str, source: str, max_history: int) -> list[KtoRow]:
    """One desirable row for each reply: the system prompt, the turns before it, and the reply."""
    messages = _messages(part)
    rows = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        history = messages[max(0, index - max_history) : index]
        if history[0]["role"] == "assistant":
            history = history[1:]
        row_id = f"{part.id}/{index}"
        row = KtoRow(
            prompt=[Message(role="system", content=system), *history],
            completion=[message],
            label=True,
            meta={"id": row_id, "group": part.group, "source": source},
        )
        rows.append(check_kto_row(row, row_id))
    return rows


def _messages(part: Conversation) -> list[Message]:
    return [Message(role=turn.role, content=turn.text) for turn in part.turns]


def _without_repeats(rows: list[KtoRow], left_out: Counter[str]) -> list[KtoRow]:
    seen = set()
    kept = []
    for row in rows:
        key = orjson.dumps([row["prompt"], row["completion"]])
        if key in seen:
            left_out["repeated"] += 1
        else:
            seen.add(key)
            kept.append(row)
    return kept
