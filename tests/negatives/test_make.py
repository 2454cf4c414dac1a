"""A run's KTO data: each negative has a parent, the shares are kept, and what could not be made is counted."""

import json
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import LLAMA_RECIPE, llama_tokenizer, random_llama, write_base

from kto_recipes.errors import UserError
from kto_recipes.negatives.make import make_run_data
from kto_recipes.prepare.dataset import prepare
from kto_recipes.rows import read_kto
from kto_recipes.settings import load_settings

TEMPLATE = [{"strategy": "template", "share": 1}]
NO_MODEL = {"base_model": "nobody/no-model-is-needed"}


def sampled(share: float, **more: Any) -> dict[str, Any]:
    return {"strategy": "base_sample", "share": share, "max_new_tokens": 2} | more


def dialogue(days: int, reply: str = "reply {day}") -> list[tuple[float, str, str]]:
    """One reply a day, so one row for each; every question has a topic of its own."""
    lines = []
    for day in range(days):
        topic = "".join(chr(ord("a") + int(digit)) for digit in f"{day:06}")
        lines += [(24 * day, "Marco", f"what about {topic}"), (24 * day + 1, "Nina", reply.format(day=day))]
    return lines


@pytest.fixture
def dataset(make_dataset):
    """dataset(lines, strategies, per_positive=…, seed=…): a prepared dataset that wants negatives."""

    def make(lines, strategies: list[dict[str, Any]], **negatives: Any) -> Path:
        folder = make_dataset(lines, negatives={"strategies": strategies} | negatives)
        prepare(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """llama(seed): the folder of a tiny Llama with random weights, as a base model is shipped."""
    made: dict[int, str] = {}

    def make(seed: int) -> str:
        if seed not in made:
            made[seed] = str(write_base(tmp_path_factory.mktemp(f"llama-{seed}"), random_llama(seed)))
        return made[seed]

    return make


@pytest.fixture(scope="session")
def llama_that_says(tmp_path_factory):
    """llama_that_says(token): the folder of a Llama whose every next token is `token`, whatever the prompt."""
    made: dict[str, str] = {}

    def make(token: str) -> str:
        if token not in made:
            model = random_llama(0)
            with torch.no_grad():
                model.model.embed_tokens.weight.fill_(1.0)
                for layer in model.model.layers:  # so that the ones reach the head as they are
                    layer.self_attn.o_proj.weight.zero_()
                    layer.mlp.down_proj.weight.zero_()
                model.model.norm.weight.fill_(1.0)
                model.lm_head.weight.zero_()
                model.lm_head.weight[llama_tokenizer().convert_tokens_to_ids(token)] = 10.0
            made[token] = str(write_base(tmp_path_factory.mktemp("llama-that-says"), model))
        return made[token]

    return make


def make(folder: Path, recipe: dict[str, Any] = NO_MODEL, out: str = "data") -> Path:
    """The run's data folder, made anew."""
    path = folder.parent / out
    settings = load_settings(folder / "dataset.yaml")
    assert make_run_data(folder, path, LLAMA_RECIPE | recipe, settings, lambda name, rows: lambda done: None)
    return path


def rows_of(out: Path) -> list[dict]:
    return read_kto(out / "kto.train.jsonl") + read_kto(out / "kto.eval.jsonl")


def positives_of(folder: Path, split: str) -> dict[str, dict]:
    return {row["meta"]["id"]: row for row in read_kto(folder / f"positives.{split}.jsonl")}


# --- parents, counts, shares --------------------------------------------------------------------------------


def test_every_negative_answers_its_parents_prompt_and_every_good_answer_is_kept(dataset):
    folder = dataset(dialogue(20), TEMPLATE)
    out = make(folder)
    for split in ("train", "eval"):
        parents = positives_of(folder, split)
        rows = read_kto(out / f"kto.{split}.jsonl")
        assert {row["meta"]["id"]: row for row in rows if row["label"]} == parents
        negatives = [row for row in rows if not row["label"]]
        assert sorted(row["meta"]["parent"] for row in negatives) == sorted(parents)
        for row in negatives:
            parent = parents[row["meta"]["parent"]]
            assert row["prompt"] == parent["prompt"]
            assert row["completion"] != parent["completion"]
            assert (row["meta"]["group"], row["meta"]["source"]) == (parent["meta"]["group"], parent["meta"]["source"])
            assert row["meta"]["strategy"] == "template"
        assert len({row["meta"]["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize(("per_positive", "times"), [(0.5, {0, 1}), (1.5, {1, 2}), (2, {2})])
def test_there_are_as_many_negatives_for_each_good_answer_as_asked(dataset, llama, per_positive, times):
    folder = dataset(dialogue(12), [sampled(1, max_new_tokens=6)], per_positive=per_positive)
    out = make(folder, {"base_model": llama(0)})
    for split in ("train", "eval"):
        parents = positives_of(folder, split)
        rows = read_kto(out / f"kto.{split}.jsonl")
        made = Counter(row["meta"]["parent"] for row in rows if not row["label"])
        assert sum(made.values()) == pytest.approx(per_positive * len(parents), abs=0.5)
        assert {made[parent] for parent in parents} == times


def test_the_strategies_get_their_shares_of_all_prompts(dataset, llama_that_says):
    folder = dataset(dialogue(40), [sampled(0.6), {"strategy": "template", "share": 0.4}])
    asked: list[tuple[str, int]] = []
    done: Counter[str] = Counter()

    def on_strategy(name: str, rows: int):
        asked.append((name, rows))
        return lambda count: done.update({name: count})

    recipe = LLAMA_RECIPE | {"base_model": llama_that_says("x")}
    out = folder.parent / "data"
    assert make_run_data(folder, out, recipe, load_settings(folder / "dataset.yaml"), on_strategy)
    assert asked == [("base_sample", 24), ("template", 16)]
    assert done == {"base_sample": 24, "template": 16}
    said = defaultdict(set)
    for row in rows_of(out):
        if not row["label"]:
            said[row["meta"]["strategy"]].add(row["completion"][0]["content"])
    assert said["base_sample"] == {"xx"}  # the model's own words, as many tokens as allowed
    assert len(said["template"]) == 16
    parents = Counter(row["meta"]["parent"] for row in rows_of(out) if not row["label"])
    assert set(parents.values()) == {1}  # no prompt is two strategies' share
    assert len(parents) == 40
    strategies = json.loads((out / "manifest.json").read_bytes())["strategies"]
    assert Counter(strategies["train"]) + Counter(strategies["eval"]) == {"base_sample": 24, "template": 16}
    assert min(strategies["train"].values()) > 0  # both strategies in the training rows


# --- what is left out ---------------------------------------------------------------------------------------


def test_an_answer_that_says_what_a_good_one_says_is_left_out_and_counted(dataset, llama_that_says):
    strategies = [sampled(0.5), {"strategy": "template", "share": 0.5}]
    lines = [*dialogue(39, reply=" XX"), *dialogue(40)[-2:]]  # the model will say xx
    folder = dataset(lines, strategies)
    out = make(folder, {"base_model": llama_that_says("x")})
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["left_out"]["base_sample: equals a good answer"] in (19, 20)
    assert manifest["left_out"].keys() == {"base_sample: equals a good answer"}
    assert manifest["read"] == 80
    assert {row["meta"]["strategy"] for row in rows_of(out) if not row["label"]} == {"template"}


def test_it_counts_as_good_what_was_once_answered_to_the_same_prompt(dataset, llama_that_says):
    both = [(1000, "Marco", "ciao"), (1001, "Nina", "eii"), (2000, "Marco", "ciao"), (2001, "Nina", "xx")]
    folder = dataset([*dialogue(20), *both], [sampled(1)])
    out = make(folder, {"base_model": llama_that_says("x")})
    assert json.loads((out / "manifest.json").read_bytes())["left_out"] == {"base_sample: equals a good answer": 2}
    labels = defaultdict(set)
    for row in rows_of(out):
        labels[json.dumps([row["prompt"], row["completion"]])].add(row["label"])
    assert all(len(label) == 1 for label in labels.values())


def test_the_same_answer_twice_to_one_prompt_is_kept_once_and_counted(dataset, llama_that_says):
    folder = dataset(dialogue(20), [sampled(1)], per_positive=3)
    out = make(folder, {"base_model": llama_that_says("x")})
    assert json.loads((out / "manifest.json").read_bytes())["left_out"] == {"base_sample: repeated": 40}
    assert sum(not row["label"] for row in rows_of(out)) == 20


def test_a_model_that_says_nothing_is_counted_and_the_rest_is_made(dataset, llama_that_says):
    folder = dataset(dialogue(40), [sampled(0.25), {"strategy": "template", "share": 0.75}])
    out = make(folder, {"base_model": llama_that_says("<|eot_id|>")})
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert (manifest["read"], manifest["left_out"]) == (80, {"base_sample: empty": 10})


def test_where_no_negative_can_be_made_nothing_is_written(dataset, llama_that_says):
    folder = dataset(dialogue(20), [sampled(1)])
    with pytest.raises(UserError, match=r"no undesirable answer .* the train split \(20 base_sample: empty\)"):
        make(folder, {"base_model": llama_that_says("<|eot_id|>")})
    assert [path.name for path in (folder.parent / "data").iterdir()] == ["answers-base_sample.jsonl"]  # kept


def test_where_only_the_eval_split_gets_no_negative_nothing_is_written_either(make_dataset):
    folder = make_dataset(
        dialogue(40),
        split={"eval_fraction": 0.1},
        negatives={"per_positive": 0.1, "strategies": TEMPLATE},
    )
    prepare(folder)
    assert 0 < len(positives_of(folder, "eval")) <= 5 < len(positives_of(folder, "train"))  # 0.1 × 5 rounds to 0
    with pytest.raises(UserError, match=r"the eval split \(negatives\.per_positive asks for none\)"):
        make(folder)
    assert not (folder.parent / "data").exists()


def test_a_base_model_that_is_not_there_is_named_and_nothing_is_written(dataset, tmp_path):
    folder = dataset(dialogue(20), [sampled(1)])
    with pytest.raises(UserError, match=r"no-such-model: cannot be loaded as a model"):
        make(folder, {"base_model": str(tmp_path / "no-such-model")})
    assert not (folder.parent / "data").exists()


def test_a_dataset_without_a_way_to_make_negatives_is_told_so(make_dataset):
    folder = make_dataset(dialogue(20))
    prepare(folder)
    with pytest.raises(UserError, match=r"chats: has only good answers .*add negatives: to its dataset\.yaml"):
        make(folder)


# --- a dataset that has undesirable answers -----------------------------------------------------------------


@pytest.fixture
def rated(tmp_path) -> Path:
    """A prepared dataset of votes, which asks for negatives all the same."""
    folder = tmp_path / "votes"
    folder.mkdir()
    rows = [{"prompt": f"q {n}", "completion": f"a {n}", "label": n % 3 == 0} for n in range(40)]
    (folder / "votes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"source": "votes.jsonl", "split": {"eval_fraction": 0.5}, "negatives": {"strategies": TEMPLATE}}
    (folder / "dataset.yaml").write_text(json.dumps(values))
    prepare(folder)
    return folder


def test_a_dataset_with_undesirable_answers_is_taken_over_as_it_is(rated):
    out = make(rated)
    prepared, manifest = (json.loads((folder / "manifest.json").read_bytes()) for folder in (rated, out))
    for name in ("kto.train.jsonl", "kto.eval.jsonl"):
        assert (out / name).read_bytes() == (rated / name).read_bytes()
        assert manifest["written"][name] == prepared["written"][name]
    for key in ("groups", "weights", "distance", "dataset"):
        assert manifest[key] == prepared[key]
    assert (manifest["read"], manifest["left_out"]) == (40, {})
    assert "strategies" not in manifest


def test_it_is_taken_over_once_and_again_when_its_rows_changed(rated):
    out = make(rated)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}
    settings = load_settings(rated / "dataset.yaml")
    assert not make_run_data(rated, out, LLAMA_RECIPE | NO_MODEL, settings, lambda name, rows: lambda done: None)
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()} == before
    path = rated / "votes.jsonl"
    path.write_text(path.read_text().replace("a 7", "another 7"))
    prepare(rated)
    assert (make(rated) / "kto.train.jsonl").read_bytes() == (rated / "kto.train.jsonl").read_bytes()


def test_rows_that_were_changed_by_hand_are_not_taken_over(rated):
    path = rated / "kto.train.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        UserError, match=r"kto\.train\.jsonl: was changed after it was prepared; prepare the dataset again"
    ):
        make(rated)
    assert not (rated.parent / "data" / "manifest.json").exists()


# --- the manifest -------------------------------------------------------------------------------------------


def test_the_manifest_adds_up_and_has_the_weights_of_the_training_rows(dataset):
    folder = dataset(dialogue(40), TEMPLATE, per_positive=0.5)
    out = make(folder)
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["read"] == 60
    assert manifest["left_out"] == {}
    for split in ("train", "eval"):
        rows = read_kto(out / f"kto.{split}.jsonl")
        about = manifest["written"][f"kto.{split}.jsonl"]
        desirable = sum(row["label"] for row in rows)
        assert (about["rows"], about["desirable"]) == (len(rows), desirable)
        assert about["undesirable"] == len(rows) - desirable
        assert about["sha256"] == sha256((out / f"kto.{split}.jsonl").read_bytes()).hexdigest()
    weights, train = manifest["weights"], manifest["written"]["kto.train.jsonl"]
    assert (weights["n_desirable"], weights["n_undesirable"]) == (train["desirable"], train["undesirable"])
    # twice as many good ones: λ_D = 1 and λ_U = 2 · [3/4, 1]
    assert weights["desirable"] == 1
    assert 1.5 <= weights["undesirable"] <= 2.1
    assert 1 <= weights["ratio"] <= 4 / 3
    prepared = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["groups"] == prepared["groups"]


def test_the_two_answers_to_a_prompt_stand_half_a_file_apart(dataset):
    folder = dataset(dialogue(40), TEMPLATE)
    out = make(folder)
    distance = json.loads((out / "manifest.json").read_bytes())["distance"]
    assert distance == {split: len(positives_of(folder, split)) for split in ("train", "eval")}


# --- done once, by content ----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(dataset, llama):
    strategies = [sampled(0.5), {"strategy": "template", "share": 0.5}]
    recipe = {"base_model": llama(0)}
    folder = dataset(dialogue(20), strategies, seed=1)
    one, two = (make(folder, recipe, out) for out in ("one", "two"))
    other = make(dataset(dialogue(20), strategies, seed=2), recipe, "other")
    for name in ("kto.train.jsonl", "kto.eval.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
        assert (one / name).read_bytes() != (other / name).read_bytes()


def test_it_is_made_once_and_again_only_when_something_that_decides_it_changed(dataset, llama):
    strategies = [sampled(0.5), {"strategy": "template", "share": 0.5}]
    folder = dataset(dialogue(20), strategies)
    out = folder.parent / "data"

    def made_again(**recipe: Any) -> bool:
        settings = load_settings(folder / "dataset.yaml")
        wanted = LLAMA_RECIPE | {"base_model": llama(0)} | recipe
        return make_run_data(folder, out, wanted, settings, lambda name, rows: lambda done: None)

    assert made_again()
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}
    assert not made_again()
    assert not made_again(learning_rate=1e-5)  # nothing that negatives depend on
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()} == before
    assert made_again(base_model=llama(1))
    assert made_again()
    (out / "kto.eval.jsonl").write_bytes(b"")
    assert made_again()
    assert {name: data for name, (_, data) in before.items() if name.startswith("kto.")} == {
        path.name: path.read_bytes() for path in out.glob("kto.*.jsonl")
    }
    dataset(dialogue(20), strategies, seed=5)
    assert made_again()
    dataset(dialogue(21), strategies, seed=5)
    assert made_again()
    assert not made_again()
