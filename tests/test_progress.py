"""A bar stands on the error stream from its first task on."""

import pytest

from kto_recipes.progress import tasks


def test_without_a_task_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with tasks():
        pass
    assert capsys.readouterr() == ("", "")


def test_every_task_is_shown_with_its_work(capsys: pytest.CaptureFixture[str]) -> None:
    with tasks() as start_task:
        first, second = start_task("eval sft", 3), start_task("eval kto", 4)
        first(1)
        first(2)
        second(1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "eval sft" in err
    assert "3/3" in err
    assert "eval kto" in err
    assert "1/4" in err
