"""JSON files of any size, one event at a time: memory holds one block and the value being built."""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import ijson

from kto_recipes.errors import UserError

_BLOCK = 64 * 1024
_EXACT = 64 * 1024 * 1024  # up to here a mistake is shown to the byte; beyond, reading it twice would cost too much
_DEPTH = 100  # of what is built; no export comes near
_IN_ESCAPE = b"\\xu0123456789abcdefABCDEF"
_STEPS = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
_KINDS = {"start_map": "object", "start_array": "list", "boolean": "true or false"}
# Half of a character, as in "\ud83d": no file can hold it, and yajl takes the letter after it for its other half.
_SURROGATES = re.compile(rb"(?<!\\)((?:\\\\)*)((?:\\u[dD][89a-fA-F][0-9a-fA-F]{2})+)")

_BOM = b"\xef\xbb\xbf"
_CUT_SHORT = "the export may have been cut short, export it again"
_NOT_JSON = (ijson.JSONError, ValueError, ArithmeticError, SystemError)  # the last: a number of 5,000 digits
_NOT_READ = (OSError, EOFError, BadZipFile, zlib.error)

Repair = Callable[[bytes], bytes]


def kind(event: str) -> str:
    """What a value is that begins with `event`, for messages."""
    return _KINDS.get(event, event)


def open_file(path: Path) -> IO[bytes]:
    """The file at `path`, open for reading.

    Raises:
        UserError: when there is none, or it cannot be opened.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def objects(holder: dict[str, Any], key: str, place: str) -> list[dict[str, Any]]:
    """The list of objects that stands under `key`, empty where there is none."""
    value = holder.get(key) or []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise UserError(f'{place}: "{key}" is not a list of objects')
    return value


class JsonStream:
    """A JSON file as a person walks through it: enter an object or a list, build one value, skip another.

    `repair` mends what an exporter is known to write wrongly; it sees whole lines, or, where a line is longer
    than a block, pieces that end outside of escapes. Every method raises UserError, with the place, where the
    file is not JSON.
    """

    def __init__(self, file: IO[bytes], where: str, repair: Repair = bytes) -> None:
        self._file = file
        self._where = where
        self._repair = repair
        self._events = self._read()

    def next(self) -> tuple[str, Any]:
        """The next event and its value, as ijson.basic_parse names them."""
        return next(self._events)

    def members(self) -> Iterator[tuple[str, str, Any]]:
        """Of an object just entered: each key with the first event of its value, to be built, entered or skipped."""
        for event, key in self._events:
            if event == "end_map":
                return
            yield key, *next(self._events)

    def elements(self) -> Iterator[tuple[str, Any]]:
        """Of a list just entered: the first event of each element, to be built, entered or skipped."""
        for event, scalar in self._events:
            if event == "end_array":
                return
            yield event, scalar

    def value(self, event: str, scalar: Any, without: str | None = None, depth: int = 0) -> Any:
        """The whole value that begins with this event, less what stands in an object under the key `without`.

        Of a key that stands twice in an object the first value that says something counts: Telegram writes a
        gift's text, then an empty one.
        """
        if event not in _STEPS:
            return scalar
        if depth == _DEPTH:
            raise UserError(f"{self._where}: nested more than {_DEPTH} deep; no export is")
        if event == "start_array":
            return [self.value(event, scalar, without, depth + 1) for event, scalar in self.elements()]
        built: dict[str, Any] = {}
        for key, event, scalar in self.members():
            if key == without:
                self.skip(event)
                continue
            inner = self.value(event, scalar, without, depth + 1) if event in _STEPS else scalar
            built[key] = built.get(key) or inner
        return built

    def skip(self, event: str) -> None:
        """Leave out the value that begins with this event."""
        depth = _STEPS.get(event, 0)
        while depth:
            depth += _STEPS.get(next(self._events)[0], 0)

    def end(self) -> None:
        """Check that the file holds nothing more."""
        for _ in self._events:
            pass

    def _read(self) -> Iterator[tuple[str, Any]]:
        found: Any = ijson.sendable_list()
        parser = ijson.basic_parse_coro(found)
        start = end = 0
        try:
            for block in _blocks(self._file):
                start, end = end, end + len(block)
                text = _whole_characters(self._repair(block if start else block.removeprefix(_BOM)))
                if text:  # nothing means the end to the parser
                    parser.send(text)
                yield from found
                found.clear()
            parser.close()
            yield from found
        except _NOT_JSON as error:
            raise self._mistake(error, start, end) from None
        except _NOT_READ as error:
            raise self._unread(error) from None

    def _unread(self, error: Exception) -> UserError:
        return UserError(f"{self._where}: cannot be read: {error}; export or copy it again")

    def _mistake(self, error: Exception, start: int, end: int) -> UserError:
        """What is wrong in the block from byte `start` to `end`, refused with `error`; more exact for most files."""
        try:
            self._file.seek(0)
            data = self._file.read(_EXACT + 1)
        except _NOT_READ as unread:
            return self._unread(unread)
        what = str(error).splitlines()[0] if isinstance(error, ijson.JSONError) else "a number that is too long"
        if len(data) <= _EXACT:
            try:
                data.decode()
                json.loads(self._repair(data.removeprefix(_BOM)).decode())
            except json.JSONDecodeError as found:
                return self._at(data, found)
            except UnicodeDecodeError as found:
                return UserError(f"{self._where}: not valid UTF-8 at byte {found.start}; export it again as JSON")
            except (ValueError, RecursionError):
                pass  # yajl's own sentence will do
        if "UTF8" in what or isinstance(error, UnicodeDecodeError):
            return UserError(f"{self._where}: not valid UTF-8 between bytes {start} and {end}; export it again as JSON")
        return UserError(f"{self._where}: not valid JSON between bytes {start} and {end}: {what}; {_CUT_SHORT}")

    def _at(self, data: bytes, found: json.JSONDecodeError) -> UserError:
        line_start = sum(len(line) + 1 for line in data.split(b"\n", found.lineno - 1)[:-1])
        if found.lineno == 1 and data.startswith(_BOM):
            line_start += len(_BOM)
        byte = line_start + len(found.doc[found.pos - found.colno + 1 : found.pos].encode("utf-8", "surrogatepass"))
        return UserError(
            f"{self._where}: not valid JSON at byte {byte} (line {found.lineno}, column {found.colno}): {found.msg}; "
            + _CUT_SHORT
        )


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The file's bytes in pieces that end after a line or, in a long line, outside of escapes such as \\ud83d."""
    held: list[bytes] = []
    while block := file.read(_BLOCK):
        cut = block.rfind(b"\n") + 1 or len(block.rstrip(_IN_ESCAPE))
        if cut:
            yield b"".join((*held, block[:cut]))
            held = []
        held.append(block[cut:])
    yield b"".join(held)


def _whole_characters(block: bytes) -> bytes:
    if b"\\u" not in block:
        return block
    return _SURROGATES.sub(_paired, block)


def _paired(found: re.Match[bytes]) -> bytes:
    """A run of surrogate escapes as characters; a half without its other half is U+FFFD."""
    text = json.loads(b'"' + found[2] + b'"')
    return found[1] + text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
