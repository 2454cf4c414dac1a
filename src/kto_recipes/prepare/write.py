"""A dataset's files, copied line by line from the scratch files; in a process for each file where there are many."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kto_recipes.files import atomic_write
from kto_recipes.prepare.choose import SPLITS, Chosen
from kto_recipes.prepare.entries import CONVERSATION, KTO_END, KTO_MIDDLE, KTO_START, Entries, read_lines
from kto_recipes.prepare.workers import Workers

REJECTED = "rejected.jsonl"

# What a preparation may write, and what it deletes of an earlier one.
WRITTEN_NAMES = {REJECTED, *(f"{kind}.{split}.jsonl" for kind in ("kto", "positives", "sft") for split in SPLITS)}
_SFT_START, _SFT_REPLY, _SFT_END = b'{"messages":', b',{"role":"assistant","content":', b'}],"meta":'
_NEEDED = ["part", "offset", "length", "prompt", "completion", "label", "kind", "reason"]


@dataclass(frozen=True, slots=True)
class _File:
    """A file to write: its path, its rows' entries, and the reasons by number where it holds what was left out."""

    path: Path
    scratch: Path
    entries: np.ndarray
    reasons: list[str] | None = None


def write_files(folder: Path, entries: Entries, chosen: Chosen, workers: Workers, *, rejected: bool) -> dict:
    """Write every file of `chosen` into `folder`; the answer is `written` of the manifest.

    Args:
        rejected: also write what was left out, with the reason, to rejected.jsonl.
    """
    of = entries.of[_NEEDED]
    files = [_File(folder / name, entries.scratch, of[rows]) for name, rows in chosen.files.items()]
    if rejected:
        left_out = of[(of["kind"] != CONVERSATION) & (of["reason"] > 0)]
        files.append(_File(folder / REJECTED, entries.scratch, left_out, entries.reasons))
    for name in WRITTEN_NAMES - {file.path.name for file in files}:  # of an earlier preparation
        (folder / name).unlink(missing_ok=True)
    files.sort(key=lambda file: -len(file.entries))
    digests = workers.map(_write, files)
    return {
        file.path.name: _about(file, digest) for file, digest in sorted(zip(files, digests, strict=True), key=_name)
    }


def _name(item: tuple[_File, str]) -> str:
    return item[0].path.name


def _about(file: _File, digest: str) -> dict[str, Any]:
    labels = file.entries["label"]
    desirable = 0 if file.path.name.startswith(("sft", REJECTED)) else int(labels.sum())
    undesirable = 0 if file.path.name.startswith(("sft", REJECTED)) else len(labels) - desirable
    return {"rows": len(labels), "desirable": desirable, "undesirable": undesirable, "sha256": digest}


def _write(file: _File) -> str:
    """Write one file; the answer is its SHA-256."""
    digest = hashlib.sha256()
    with atomic_write(file.path) as output:
        for block in _blocks(file):
            data = b"".join(block)
            digest.update(data)
            output.write(data)
    return digest.hexdigest()


def _blocks(file: _File) -> Iterator[list[bytes]]:
    start = 0
    for lines in read_lines(file.scratch, file.entries):
        entries = file.entries[start : start + len(lines)]
        start += len(lines)
        if file.reasons is not None:
            yield [_rejected(file.reasons[n], line) for n, line in zip(entries["reason"].tolist(), lines, strict=True)]
        elif file.path.name.startswith("sft"):
            columns = (entries[name].tolist() for name in ("prompt", "completion", "label", "kind"))
            yield [_sft(line, *values) for line, *values in zip(lines, *columns, strict=True)]
        else:
            yield lines


def _sft(line: bytes, prompt: int, completion: int, label: bool, kind: int) -> bytes:
    """The SFT row of an answer's line, of whose prompt and completion the lengths are given."""
    if kind == CONVERSATION:
        return line
    prompt_end = len(KTO_START) + prompt
    start = prompt_end + len(KTO_MIDDLE)
    end = start + completion
    messages = line[len(KTO_START) : prompt_end - 1]
    return b"".join((_SFT_START, messages, _SFT_REPLY, line[start:end], _SFT_END, line[end + len(KTO_END[label]) :]))


def _rejected(reason: str, line: bytes) -> bytes:
    return b'{"reason":' + orjson.dumps(reason) + b"," + line[1:]
