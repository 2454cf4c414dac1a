"""A recipe runs with stock Axolotl after exactly the edits that its header names, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_models import REPO, make_miniature

from kto_recipes.recipe import fill_block, load_recipe
from kto_recipes.rows import write_jsonl

FILES = sorted((REPO / "recipes").glob("*/*.yaml"))
STEPS = 2
ROWS = 32  # two steps of the KTO recipe's effective batch
# Loaded by every Python that finds it on its path, before anything else: this package is not to be had there.
BLOCK_THE_PACKAGE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "kto_recipes":
            raise ModuleNotFoundError(f"{name} is blocked for this test")
sys.meta_path.insert(0, Blocked())
"""
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")


def said_edits(text: str) -> str:
    """The header's sentence on stock Axolotl, on one line."""
    header = text.partition("\n\n")[0]
    lines = [line.removeprefix("#").strip() for line in header.splitlines()]
    sentence = re.search(r"For stock Axolotl without this package: (.+?\.)(?: |$)", " ".join(lines))
    assert sentence, "the header has no such sentence"
    return sentence[1]


def for_stock_axolotl(text: str) -> str:
    """`text` after what its header says, to the word: deletions by line, additions at the end."""
    sentence = said_edits(text)
    understood = "delete the `plugins:` line"
    text = without_lines(text, r"plugins:", 1)
    if "the `kto:` block" in sentence:
        understood += ", the `kto:` block and both `type:` lines, and add `skip_prepare_dataset: true`"
        text = without_lines(text, r"kto:", None)
        text = without_lines(text, r"    type:", 2)
        text += re.search(r"add `(.+?)`", sentence)[1] + "\n"
    assert sentence == f"{understood}.", "the header says something that this test does not do"
    return text


def without_lines(text: str, start: str, count: int | None) -> str:
    """`text` without the lines that begin so and the lines further indented below each; None: a block, if any."""
    head, ruler, body = text.partition("\n\n")
    indent = len(start) - len(start.lstrip())
    body, found = re.subn(rf"(?m)^{start}.*\n(?: {{{indent + 1},}}\S.*\n)*", "", body)
    assert found == count or (count is None and found <= 1), f"{found} times {start.strip()!r}"
    return head + ruler + body


@every_file
def test_what_the_header_says_leaves_nothing_of_this_package(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    edited = for_stock_axolotl(text)
    before, after = load_recipe(path), yaml.safe_load(edited)
    assert "kto_recipes" not in edited
    assert set(before) - set(after) == {"plugins"} | ({"kto"} & set(before))
    assert set(after) - set(before) == ({"skip_prepare_dataset"} if path.stem == "kto" else set())
    for key in set(before) & set(after) - {"datasets", "test_datasets"}:
        assert after[key] == before[key]
    for key in ("datasets", "test_datasets"):
        kept = [{name: entry[name] for name in entry if name != "type" or path.stem == "sft"} for entry in before[key]]
        assert after[key] == kept


@pytest.mark.parametrize("said", ["delete the `plugins:` line and pray.", "delete the `plugins:` line"])
def test_a_header_that_says_something_else_is_noticed(said: str) -> None:
    text = (REPO / "recipes/tiny-llama-lora/sft.yaml").read_text(encoding="utf-8")
    with pytest.raises(AssertionError, match="header"):
        for_stock_axolotl(text.replace("delete the `plugins:` line.", said))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sft", "kto"])
def test_the_tiny_recipe_trains_with_stock_axolotl_in_an_empty_folder(kind: str, tmp_path: Path) -> None:
    environment = without_this_package(tmp_path / "blocked")
    folder = tmp_path / "somewhere"
    folder.mkdir()
    recipe = REPO / "recipes" / "tiny-llama-lora" / f"{kind}.yaml"
    make_miniature(load_recipe(recipe), folder / "base")
    write_rows(folder)
    text = two_steps(for_stock_axolotl(recipe.read_text(encoding="utf-8")))
    (folder / "recipe.yaml").write_text(fill_block(text, local_places(kind)), encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).with_name("axolotl"), "train", "recipe.yaml"],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (folder / "out" / "adapter_model.safetensors").is_file()
    state = yaml.safe_load((folder / "out" / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())
    losses = [log["loss"] for log in state["log_history"] if "loss" in log]
    assert len(losses) == state["global_step"] == STEPS
    if kind == "kto":
        assert losses[0] == pytest.approx(0.5, abs=1e-3)  # the policy is its reference: KTO's loss is λ/2


def without_this_package(folder: Path) -> dict[str, str]:
    """An environment in which no Python can import kto_recipes, though it is installed."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCK_THE_PACKAGE)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `axolotl` executes `accelerate`
    ours = {"PYTHONPATH": str(folder), "PATH": programs, "HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1"}
    environment = os.environ | ours
    tried = subprocess.run(
        [sys.executable, "-c", "import kto_recipes"], env=environment, capture_output=True, encoding="utf-8"
    )
    assert "kto_recipes is blocked for this test" in tried.stderr
    return environment


def two_steps(text: str) -> str:
    return without_lines(text, r"evals_per_epoch:", 1) + f'max_steps: {STEPS}\neval_strategy: "no"\n'


def local_places(kind: str) -> dict[str, str]:
    places = {"datasets": f"{kind}.jsonl", "test_datasets": f"{kind}.jsonl", "base_model": "base"}
    return places | {"dataset_prepared_path": "prepared", "output_dir": "out"}


def write_rows(folder: Path) -> None:
    """Rows as this project prepares them, `meta` included."""
    system = {"role": "system", "content": "You are Nina, chatting with Marco."}
    sft, kto = [], []
    for n in range(ROWS):
        user = {"role": "user", "content": f"How was day {n}? Tell me more about it."}
        reply = {"role": "assistant", "content": f"day {n} was sooo good ~"}
        meta = {"id": str(n), "group": str(n), "source": "telegram"}
        sft.append({"messages": [system, user, reply], "meta": meta})
        kto.append({"prompt": [system, user], "completion": [reply], "label": n % 2 == 0, "meta": meta})
    write_jsonl(folder / "sft.jsonl", sft)
    write_jsonl(folder / "kto.jsonl", kto)
