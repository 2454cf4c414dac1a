"""Files that are either whole or absent, and what identifies their content."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from kto_recipes.errors import UserError


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it only ever exists complete.

    The bytes go to a temporary name beside it, which is renamed when the block ends and removed when the
    block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def write_text_if_changed(path: Path, text: str) -> bool:
    """Write `text` unless the file already says so; the answer is whether it was written."""
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    write_text(path, text)
    return True


def write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


MODEL_FILES = ("*.safetensors", "*.bin", "*.json", "*.jinja")


def model_sha256(model: str) -> str:
    """What identifies a model: the files of a local folder by content, a Hub name by itself."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    return sha256_text("\n".join(f"{path.name} {sha256(path)}" for path in files))
