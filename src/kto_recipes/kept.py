"""What models were asked, kept as it comes: a killed run goes on where it stopped, and nothing is asked for twice."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from kto_recipes.files import atomic_write, sha256_text
from kto_recipes.generation import Reply
from kto_recipes.rows import write_jsonl

# Answers of other models and settings that a finished run leaves in the file. A dataset may name one strategy
# several times, and none of them may throw away what another has been waiting for; more would grow for ever.
OTHERS_KEPT = 7


class KeptParts:
    """One file for each part, with the hash of all that the part depends on; another hash takes its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str, of: Mapping[str, Any]) -> Any | None:
        """The part `name` as it was kept, if it was measured of the same; else None."""
        try:
            kept = orjson.loads(self._path(name).read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        return kept["value"] if isinstance(kept, dict) and kept.get("of") == _hash(of) else None

    def keep(self, name: str, of: Mapping[str, Any], value: Any) -> Any:
        """Write a part, whole or not at all; the answer is what `find` will say, so that both ways give the same.

        What is no number in JSON (NaN, infinity) comes back as None.
        """
        text = orjson.dumps(value)
        with atomic_write(self._path(name)) as file:
            file.write(b'{"of":%b,"value":%b}\n' % (orjson.dumps(_hash(of)), text))
        return orjson.loads(text)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


class KeptReplies:
    """A model's answers in one file, one line each, found again by what they depend on.

    A line is `{"of", "key", "text", "cut"}`: `of` is a hash of what all answers of a run have in common, `key` one
    of that and of the answer's own request; `tokens` is there where a server counted them. Answers that are added
    together are written at once. A line that was being written when the machine stopped is passed over.
    """

    def __init__(self, path: Path, of: Mapping[str, Any]) -> None:
        """`of` holds all that decides an answer besides its request: model, template, seed."""
        self.path = path
        self.of = _hash(of)
        entries = (entry for entry in _entries(path) if entry["of"] == self.of)
        self._replies = {entry["key"]: _reply(entry) for entry in entries}

    def key(self, request: Any) -> str:
        """The key of an answer: of what is asked and how, as JSON."""
        return _hash([self.of, request])

    def __contains__(self, key: str) -> bool:
        return key in self._replies

    def __getitem__(self, key: str) -> Reply:
        return self._replies[key]

    def add(self, replies: Mapping[str, Reply]) -> None:
        """Keep answers by key; one that is there already stays as it is."""
        new = {key: reply for key, reply in replies.items() if key not in self._replies}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = b"".join(orjson.dumps(self._entry(key, reply)) + b"\n" for key, reply in new.items())
        with self.path.open("ab") as file:
            file.write(lines if _ends_with_a_line(self.path) else b"\n" + lines)
        self._replies.update(new)

    def finish(self, used: Sequence[str]) -> None:
        """Leave in the file what a run has used, last and in its order, and what few other runs have used.

        So the file holds the same however often a run was stopped, and does not grow from run to run.
        """
        others = list(dict.fromkeys(entry["of"] for entry in _entries(self.path) if entry["of"] != self.of))
        stay = set(others[-OTHERS_KEPT:])
        entries = (entry for entry in _entries(self.path) if entry["of"] in stay)
        mine = (self._entry(key, self._replies[key]) for key in used)
        if used:
            write_jsonl(self.path, chain(entries, mine))

    def _entry(self, key: str, reply: Reply) -> dict[str, Any]:
        entry = {"of": self.of, "key": key, "text": reply.text, "cut": reply.cut}
        return entry if reply.tokens is None else entry | {"tokens": list(reply.tokens)}


def _reply(entry: Mapping[str, Any]) -> Reply:
    tokens = entry.get("tokens")
    return Reply(entry["text"], entry["cut"], None if tokens is None else tuple(tokens))


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(entry, dict) and entry.keys() - {"tokens"} == {"of", "key", "text", "cut"}:
                yield entry


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            return True
        file.seek(-1, 2)
        return file.read() == b"\n"


def _hash(value: Any) -> str:
    return sha256_text(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())[:32]
