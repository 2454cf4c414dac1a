"""The README's recipe table says what the recipes' headers say."""

from pathlib import Path

import pytest

from kto_recipes.errors import UserError
from kto_recipes.recipe.table import BEGIN, END, recipe_table, with_table

REPO = Path(__file__).parents[2]


def test_the_readme_has_the_table_of_todays_headers() -> None:
    readme = (REPO / "README.md").read_text(encoding="utf-8")
    assert with_table(readme, recipe_table(REPO / "recipes")) == readme, "run: make recipe-table"


def test_a_changed_header_changes_the_table(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    header = "# Goal:     one\n# Needs:    two\n# Data:     three\n# Run:      four\n# Measured: five\n"
    (tmp_path / "a/kto.yaml").write_text(header)
    assert recipe_table(tmp_path).endswith("| [`a`](recipes/a) | one | two | five |\n")


def test_what_stands_around_the_table_is_kept() -> None:
    assert with_table(f"a\n{BEGIN}old\n{END}z\n", "new\n") == f"a\n{BEGIN}new\n{END}z\n"


def test_a_readme_without_the_marks_is_refused() -> None:
    with pytest.raises(UserError, match=r"README\.md"):
        with_table("nothing", "table")
