"""A dataset's folder made of lines of chat."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

START = 1_736_676_000  # 2025-01-12
IDS = {"Nina": "user1", "Marco": "user2", "Eva": "user3"}


@pytest.fixture
def make_dataset(tmp_path) -> Callable[..., Path]:
    """make_dataset(lines, name="chats", **settings): a folder with dataset.yaml and a Telegram export.

    A line is (hours since the start, sender, text). Settings are those of dataset.yaml; the persona is Nina.
    """

    def make(lines: Iterable[tuple[float, str, str]], name: str = "chats", **settings: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        messages = [
            {
                "id": number,
                "type": "message",
                "date_unixtime": str(START + round(hours * 3600)),
                "from": sender,
                "from_id": IDS.get(sender, f"user {sender}"),
                "text": text,
            }
            for number, (hours, sender, text) in enumerate(lines, 1)
        ]
        export = {"name": "Marco", "type": "personal_chat", "id": 2, "messages": messages}
        (folder / "result.json").write_text(json.dumps(export), encoding="utf-8")
        # JSON is YAML
        values = {"source": "result.json", "persona": "Nina", "split": {"eval_fraction": 0.5}} | settings
        (folder / "dataset.yaml").write_text(json.dumps(values), encoding="utf-8")
        return folder

    return make
