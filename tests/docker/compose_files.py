"""The compose files of docker/, and the Compose Specification's own schema (vendored)."""

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "vendor/compose-spec.json").read_text(encoding="utf-8"))


def compose_file(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker" / name).read_text(encoding="utf-8"))
