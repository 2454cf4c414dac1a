"""What an export holds, and what it refuses; the expected model is always the run's merged one."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from finished_runs import make_run, with_adapter, write_recipe
from safetensors.torch import load_file, save_file
from tiny_models import trained_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from kto_recipes.errors import UserError
from kto_recipes.files import read_json, sha256
from kto_recipes.use import export
from kto_recipes.use.export import Options, export_run

IDS = torch.tensor([[0, 5, 300, 17, 90, 6, 3, 12]])


def exported(run: Path, form: str, out: Path, *, force: bool = False, **options) -> list[str]:
    final, how = export_run(run, form, out, force=force, options=Options(**options))
    assert final == out
    return how


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def merged_logits(run: Path) -> torch.Tensor:
    return logits(AutoModelForCausalLM.from_pretrained(run / "kto/merged"))


def test_merged_is_the_model_to_the_byte_with_template_and_ends_of_turn(run: Path, tmp_path: Path) -> None:
    exported(run, "merged", tmp_path / "out")
    assert sha256(tmp_path / "out/model.safetensors") == sha256(run / "kto/merged/model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    expected = trained_tokenizer()
    assert tokenizer.chat_template == expected.chat_template
    ends = read_json(tmp_path / "out/generation_config.json")["eos_token_id"]
    assert ends == [expected.convert_tokens_to_ids(token) for token in ("<|end_of_text|>", "<|eot_id|>")]
    record = read_json(tmp_path / "out/export.json")
    assert set(record["sha256"]) == {path.name for path in (tmp_path / "out").iterdir()} - {"export.json"}


@pytest.mark.parametrize("alpha", [12, 5], ids=["the same scaling", "another scaling"])
def test_the_composed_adapter_on_the_first_base_is_the_merged_model(alpha: int, tmp_path: Path) -> None:
    run = make_run(tmp_path, kto_alpha=alpha)
    how = exported(run, "lora", tmp_path / "out")
    model = with_adapter(str(tmp_path / "base"), tmp_path / "out")
    torch.testing.assert_close(logits(model), merged_logits(run), rtol=1e-4, atol=1e-4)
    with model.disable_adapter():
        assert (logits(model) - merged_logits(run)).abs().max() > 0.1, "the adapter matters"
    assert read_json(tmp_path / "out/adapter_config.json")["r"] == 4 + 6
    assert "--max-lora-rank 16" in " ".join(how)
    assert str(tmp_path / "base") in " ".join(how)


def test_without_sft_the_adapter_is_kto_s_own(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "sft.yaml").unlink()
    exported(run, "lora", tmp_path / "out")
    for name, tensor in load_file(run / "kto/adapter_model.safetensors").items():
        assert torch.equal(load_file(tmp_path / "out/adapter_model.safetensors")[name], tensor)
    model = with_adapter(str(run / "sft/merged"), tmp_path / "out")
    torch.testing.assert_close(logits(model), merged_logits(run), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", ["base", "run/sft/merged"])
def test_an_adapter_of_another_model_than_is_there_is_refused(model: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    weights = load_file(tmp_path / model / "model.safetensors")
    weights["model.norm.weight"] += 0.01
    save_file(weights, tmp_path / model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"was trained on another model than {tmp_path / model} is now"):
        exported(run, "lora", tmp_path / "out")


@pytest.mark.parametrize(("key", "value"), [("use_dora", True), ("modules_to_save", ["lm_head"]), ("bias", "all")])
def test_what_is_more_than_a_plain_lora_is_refused(key: str, value, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    config = read_json(run / "kto/adapter_config.json")
    (run / "kto/adapter_config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(UserError, match="not a plain LoRA"):
        exported(run, "lora", tmp_path / "out")


def test_full_weights_have_no_adapter(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    shutil.copytree(run / "kto/merged", run / "full")
    recipe = {"base_model": str(run / "sft/merged"), "output_dir": str(run / "full")}
    write_recipe(run / "kto.yaml", **recipe)
    text = json.loads((run / "kto.yaml").read_text())
    del text["adapter"]
    (run / "kto.yaml").write_text(json.dumps(text))
    with pytest.raises(UserError, match="export merged instead"):
        exported(run, "lora", tmp_path / "out")
    exported(run, "merged", tmp_path / "out")


def test_a_model_with_a_weight_missing_leaves_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    weights = load_file(run / "kto/merged/model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, run / "kto/merged/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"missing keys: model\.norm\.weight"):
        exported(run, "merged", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "run"]


def test_a_model_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    weights = load_file(run / "kto/merged/model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, run / "kto/merged/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="not finite"):
        exported(run, "merged", tmp_path / "out")


def test_a_tokenizer_with_another_template_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "kto/merged/chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(UserError, match=r"chat template of kto\.yaml"):
        exported(run, "merged", tmp_path / "out")


def test_an_export_is_replaced_by_force_alone_and_nothing_else_ever(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exported(run, "merged", out)
    (out / "note.txt").write_text("of before")
    with pytest.raises(UserError, match="--force replaces it"):
        exported(run, "merged", out)
    exported(run, "lora", out, force=True)
    assert not (out / "note.txt").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not an export"):
        exported(run, "merged", mine, force=True)
    assert (mine / "thesis.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_a_failure_leaves_the_former_export_as_it_was(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exported(run, "merged", out)
    before = read_json(out / "export.json")
    with pytest.raises(UserError, match="no such file"):
        exported(run, "gguf", out, force=True, converter=tmp_path / "none.py")
    assert read_json(out / "export.json") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_disk_without_room_is_said_before_anything_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(export.shutil, "disk_usage", lambda place: usage(10, 9, 1))
    with pytest.raises(UserError, match="GiB are free and the export needs"):
        exported(run, "merged", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_sentence(run: Path, run_script, refused, tmp_path: Path) -> None:
    assert "the formats are: merged, lora, gguf" in refused(run_script("export.py", run, "--format", "onnx"))
    assert "git clone" in refused(run_script("export.py", run, "--format", "gguf", "--out", tmp_path / "out"))
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished, ignore=shutil.ignore_patterns("kto"))
    recipe = json.loads((run / "kto.yaml").read_text()) | {"output_dir": str(unfinished / "kto")}
    (unfinished / "kto.yaml").write_text(json.dumps(recipe))
    for script in ("export.py", "chat.py", "serve.py"):
        assert "no finished model" in refused(run_script(script, unfinished))
