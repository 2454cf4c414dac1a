"""Reference log-probabilities are computed once for the same reference and rows, and again for anything else."""

import logging
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from small_trainers import forwards, small_arguments, small_lora, small_model, small_tokenizer, text_rows
from torch import Tensor, nn

from kto_recipes.trainer import FastKTOTrainer, TrainerSettings, reference
from kto_recipes.trainer.reference import cache_file, read_cache, weights_key, write_cache

ROWS = 16


class Made:
    """A trainer, and how many rows passed through its model before training."""

    def __init__(self, folder: Path, cache: Path, model: nn.Module | None = None, **more: Any) -> None:
        model = model or small_model()
        changes = more.pop("changes", {})
        settings = TrainerSettings(ref_cache_dir=cache, **more.pop("settings", {}))
        given = {"train_dataset": text_rows(ROWS), "processing_class": small_tokenizer(), "peft_config": small_lora()}
        with forwards(model) as passes:
            self.trainer = FastKTOTrainer(
                model, args=small_arguments(folder, **changes), settings=settings, **{**given, **more}
            )
        self.passes = sum(passes)
        data = self.trainer.train_dataset
        self.values = {name: list(data[name]) for name in ("ref_logps", "ref_KL_logps") if name in data.column_names}


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Made]:
    """made(**what the trainer takes): always with the same cache folder."""
    return lambda **more: Made(tmp_path, **{"cache": tmp_path / "cache", **more})


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Path]:
    """A trainer that found nothing kept, and the folder of what it kept."""
    folder = tmp_path_factory.mktemp("first")
    found = Made(folder, folder / "cache")
    assert found.passes >= ROWS
    assert len(set(found.values["ref_logps"])) > 8
    return found, folder / "cache"


@pytest.fixture
def first(computed: tuple[Made, Path], tmp_path: Path) -> Made:
    """That trainer; what it kept is in this test's folder."""
    shutil.copytree(computed[1], tmp_path / "cache")
    return computed[0]


# --- hits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"changes": {"beta": 0.4}},
        {"changes": {"learning_rate": 1e-6, "desirable_weight": 2.0, "seed": 7, "num_train_epochs": 3}},
        {"peft_config": small_lora(r=8, lora_alpha=4, target_modules=["q_proj", "down_proj"])},
        {"peft_config": None},
        {"settings": {"log_entropy": True}},
    ],
    ids=["the same", "beta", "rate, weight, seed", "rank and layers", "full weights", "a log line"],
)
def test_what_the_reference_does_not_depend_on_takes_the_kept_values(
    first: Made, made: Callable[..., Made], more: dict
) -> None:
    second = made(**more)
    assert second.passes == 0
    assert second.values == first.values


def test_the_kept_values_are_those_that_would_be_computed(first: Made, made: Callable[..., Made]) -> None:
    assert made().passes == 0
    assert made(cache=None).values == first.values


def test_one_file_holds_one_splits_values_and_is_all_that_is_written(made: Callable[..., Made], tmp_path: Path) -> None:
    found = made(eval_dataset=text_rows(8, seed=5))
    assert found.passes >= ROWS + 8
    files = list((tmp_path / "cache").iterdir())
    assert len(files) == 2
    assert all(file.suffix == ".safetensors" for file in files)
    assert made(eval_dataset=text_rows(8, seed=5)).passes == 0


def test_nothing_is_kept_where_no_folder_is_named(made: Callable[..., Made], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert made(cache=None).passes == made(cache=None).passes >= ROWS
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "outputs").exists()


# --- misses -------------------------------------------------------------------------------------------------


def test_one_step_of_training_makes_another_reference(first: Made, made: Callable[..., Made]) -> None:
    model = small_model()
    trained = made(model=model, peft_config=None, changes={"max_steps": 1, "learning_rate": 1e-6})
    assert trained.passes == 0
    trained.trainer.train()
    second = made(model=model)
    assert second.passes == first.passes
    assert second.values != first.values


@pytest.mark.parametrize(
    "more",
    [
        {"train_dataset": text_rows(ROWS, seed=1)},
        {"train_dataset": text_rows(ROWS).select(range(15, -1, -1)), "settings": {"length_buckets": False}},
        {"train_dataset": text_rows(ROWS).map(lambda row: {"prompt": f"User: {row['prompt']}\nAssistant:"})},
        {"changes": {"max_length": 55}},
        {"changes": {"per_device_train_batch_size": 8}},
        {"changes": {"loss_type": "apo_zero_unpaired"}},
        {"model": small_model(rms_norm_eps=0.1)},
    ],
    ids=["data", "order", "template", "max_length", "batch size", "no pairs", "configuration"],
)
def test_what_the_values_depend_on_computes_them_again(first: Made, made: Callable[..., Made], more: dict) -> None:
    second = made(**more)
    assert second.passes >= ROWS
    assert second.values != first.values
    assert made().passes == 0, "the first values are still there"


def test_another_label_is_another_order_and_never_another_value_for_a_row(
    first: Made, made: Callable[..., Made]
) -> None:
    def by_row(found: Made) -> dict[str, float]:
        data = found.trainer.train_dataset
        return dict(zip(map(str, data["completion_ids"]), data["ref_logps"], strict=True))

    turned = [{**row, "label": not row["label"] if i % 3 else row["label"]} for i, row in enumerate(text_rows(ROWS))]
    expected = by_row(first)
    for row, value in by_row(made(train_dataset=Dataset.from_list(turned))).items():
        assert value == pytest.approx(expected[row], rel=1e-5)


# --- the key of a model -------------------------------------------------------------------------------------


def test_a_sample_of_the_weights_tells_a_nearby_model_apart() -> None:
    model = small_model()
    before = weights_key(model)
    assert weights_key(small_model()) == before
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.add_(1e-6)
    assert weights_key(model) != before


@pytest.mark.parametrize("change", ["name", "shape", "dtype", "buffer"])
def test_the_key_knows_names_shapes_dtypes_and_buffers(change: str) -> None:
    def module(**parts: Any) -> nn.Module:
        made = nn.Module()
        values = {"name": "a", "shape": (2, 3), "dtype": torch.float32, "buffer": 1.0, **parts}
        made.register_parameter(values["name"], nn.Parameter(torch.zeros(values["shape"], dtype=values["dtype"])))
        made.register_buffer("kept", torch.tensor(values["buffer"]))
        return made

    other = {"name": "b", "shape": (3, 2), "dtype": torch.float16, "buffer": 2.0}
    assert weights_key(module()) == weights_key(module())
    assert weights_key(module(**{change: other[change]})) != weights_key(module())


# --- files that are not what they seem ----------------------------------------------------------------------

KEY = {"weights": "abc", "rows": "def"}


@pytest.fixture
def values() -> dict[str, Tensor]:
    return {"ref_logps": torch.tensor([-1.5, -2.5, -3.5]), "ref_KL_logps": torch.tensor([-4.0, -5.0, -6.0])}


@pytest.fixture
def kept(tmp_path: Path, values: dict[str, Tensor]) -> Path:
    path = cache_file(tmp_path, KEY)
    write_cache(path, KEY, values)
    found = read_cache(path, KEY, 3)
    assert found is not None
    assert all(torch.equal(found[name], value) for name, value in values.items())
    return path


def test_no_file_cut_short_is_taken(kept: Path) -> None:
    whole = kept.read_bytes()
    for size in range(len(whole)):
        kept.write_bytes(whole[:size])
        assert read_cache(kept, KEY, 3) is None, size


def test_no_flipped_byte_changes_what_is_read(kept: Path, values: dict[str, Tensor]) -> None:
    whole = kept.read_bytes()
    refused = 0
    for place in range(len(whole)):
        for flip in (1, 128):
            kept.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            found = read_cache(kept, KEY, 3)
            refused += found is None
            if found is not None:
                assert all(torch.equal(found[name], value) for name, value in values.items()), place
    assert refused > 1.9 * len(whole)


def test_a_foreign_file_is_not_taken(kept: Path, values: dict[str, Tensor]) -> None:
    assert read_cache(kept, {**KEY, "weights": "other"}, 3) is None
    assert read_cache(kept, KEY, 2) is None
    assert read_cache(kept, KEY, 4) is None
    write_cache(kept, KEY, {**values, "ref_logps": torch.tensor([-1.5, float("nan"), -3.5])})
    assert read_cache(kept, KEY, 3) is None
    write_cache(kept, KEY, {})
    assert read_cache(kept, KEY, 0) is None
    kept.write_bytes(b"not a safetensors file")
    assert read_cache(kept, KEY, 3) is None


def test_absence_and_a_folder_in_its_place_are_no_values(tmp_path: Path) -> None:
    assert read_cache(tmp_path / "absent", KEY, 3) is None
    (tmp_path / "folder").mkdir()
    assert read_cache(tmp_path / "folder", KEY, 3) is None
    (tmp_path / "file").write_bytes(b"x")
    assert read_cache(tmp_path / "file" / "below", KEY, 3) is None


def test_different_keys_have_different_files(tmp_path: Path) -> None:
    assert cache_file(tmp_path, KEY) != cache_file(tmp_path, {**KEY, "rows": "other"})
    assert cache_file(tmp_path, KEY) == cache_file(tmp_path, dict(reversed(KEY.items())))


def test_a_torn_file_is_noticed_and_made_again(first: Made, made: Callable[..., Made], tmp_path: Path) -> None:
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 5])
    second = made()
    assert second.passes == first.passes
    assert second.values == first.values
    assert made().passes == 0


# --- folders that cannot be written -------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The operating system refuses every byte after the sixty-fourth, while the values are written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    real = reference.write_cache

    def write(*arguments: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
        try:
            real(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(reference, "write_cache", write)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def trained_losses(found: Made) -> list[float]:
    found.trainer.train()
    return [log["loss"] for log in found.trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize("why", ["a file is in the way", "the disk is full"])
def test_training_goes_on_with_one_line_where_nothing_can_be_kept(
    made: Callable[..., Made], tmp_path: Path, request: Any, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    cache = tmp_path / "cache"
    if why == "the disk is full":
        request.getfixturevalue("full_disk")
    else:
        (tmp_path / "file").write_bytes(b"x")
        cache = tmp_path / "file" / "cache"
    with caplog.at_level(logging.WARNING, "kto_recipes"):
        found = made(cache=cache)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("kto_recipes")]
    assert len(said) == 1
    assert said[0].startswith("reference log-probabilities are not kept: ")
    assert said[0].endswith("; the next run computes them again")
    assert not (tmp_path / "cache").exists() or list((tmp_path / "cache").iterdir()) == []
    expected = made(cache=None)
    assert found.values == expected.values
    assert trained_losses(found) == trained_losses(expected)
