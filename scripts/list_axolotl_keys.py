"""Write down the keys that the pinned Axolotl knows, so that checks need not import it.

    python scripts/list_axolotl_keys.py

Reads Axolotl's schema; writes src/kto_recipes/axolotl_keys.json. Run it when Axolotl's version changes.
"""

from importlib.resources import files
from pathlib import Path

from kto_recipes.cli import run


def main() -> None:
    """Write down the keys that the pinned Axolotl knows, so that checks need not import it."""
    from kto_recipes.files import write_json
    from kto_recipes.plugin.schema_keys import axolotl_keys

    path = Path(str(files("kto_recipes"))) / "axolotl_keys.json"
    write_json(path, axolotl_keys())
    print(path)


if __name__ == "__main__":
    run(main)
