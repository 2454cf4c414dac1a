"""A GGUF is compared with the model that it is said to be of; llama.cpp's converter runs where it is named."""

import os
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from finished_runs import SYSTEM, make_run
from safetensors.torch import load_file
from tiny_models import LLAMA_RECIPE, make_miniature, qwen_tokenizer, trained_tokenizer

from kto_recipes.errors import UserError
from kto_recipes.templates import set_template
from kto_recipes.use.export import Options, export_run
from kto_recipes.use.gguf_check import verify_gguf
from kto_recipes.use.gguf_file import pre_tokenizer

# Names of llama.cpp's for Llama's tensors, from its documentation of GGUF.
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def converted(name: str) -> str:
    for hf, own in NAMES.items():
        name = name.replace(f"{hf}.weight", f"{own}.weight")
    return name.replace("model.layers.", "blk.")


def write_gguf(file: Path, model: Path, **changed: Any) -> None:
    """A GGUF of the model with the `gguf` package, but for what is `changed`."""
    tokenizer = trained_tokenizer()
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    said = {"arch": "llama", "kind": "gpt2", "template": tokenizer.chat_template, "eos": tokenizer.eos_token_id}
    said |= {"tokens": vocabulary, "add_bos": True, "drop": None, "shape": None} | changed
    writer = gguf.GGUFWriter(file, said["arch"])
    writer.add_tokenizer_model(said["kind"])
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(said["tokens"])
    writer.add_chat_template(said["template"])
    writer.add_eos_token_id(said["eos"])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(said["add_bos"])
    for name, tensor in load_file(model / "model.safetensors").items():
        value = tensor.float().numpy()
        if converted(name) == said["shape"]:
            value = np.ascontiguousarray(value.T)
        if converted(name) != said["drop"]:
            writer.add_tensor(converted(name), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_the_model_s_own_gguf_passes(run: Path, tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", run / "kto/merged")
    verify_gguf(tmp_path / "a.gguf", run / "kto/merged", trained_tokenizer())


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"arch": "qwen2"}, "general.architecture is 'qwen2'"),
        ({"kind": "llama"}, "tokenizer.ggml.model is 'llama'"),
        ({"template": "{{ messages }}"}, "tokenizer.chat_template is"),
        ({"eos": 1}, "tokenizer.ggml.eos_token_id is 1, and must be 6"),
        ({"add_bos": False}, "add_bos_token is False, and must be True"),
        ({"tokens": ["a", "b"]}, "token"),
        ({"drop": "blk.1.ffn_up.weight"}, r"tensor blk.1.ffn_up.weight is None, and must be \(\d+, \d+\)"),
        ({"shape": "blk.0.attn_k.weight"}, r"tensor blk.0.attn_k.weight is"),
    ],
    ids=str,
)
def test_whatever_differs_is_named(changed: dict[str, Any], says: str, run: Path, tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", run / "kto/merged", **changed)
    with pytest.raises(UserError, match=says):
        verify_gguf(tmp_path / "a.gguf", run / "kto/merged", trained_tokenizer())


def test_a_file_that_is_no_gguf_is_one_sentence(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF is not here")
    with pytest.raises(UserError, match="cannot be read as GGUF"):
        verify_gguf(tmp_path / "a.gguf", run / "kto/merged", trained_tokenizer())


def test_the_pre_tokenizer_is_told_by_its_pattern(run: Path, tmp_path: Path) -> None:
    assert pre_tokenizer(run / "kto/merged") == "llama-bpe"
    qwen_tokenizer().save_pretrained(tmp_path)
    assert pre_tokenizer(tmp_path) == "qwen2"
    (tmp_path / "tokenizer.json").write_text('{"pre_tokenizer": {"type": "ByteLevel"}}')
    assert pre_tokenizer(tmp_path) == ""


@pytest.fixture
def converter() -> Path:
    named = os.environ.get("KTO_GGUF_CONVERTER")
    if not named:
        pytest.skip("llama.cpp's convert_hf_to_gguf.py is not named in KTO_GGUF_CONVERTER")
    return Path(named)


def test_llama_cpp_s_converter_makes_a_gguf_that_passes(converter: Path, tmp_path: Path) -> None:
    export_run(
        make_run(tmp_path), "gguf", tmp_path / "out", force=False, options=Options(converter=converter, outtype="f32")
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"kto.gguf", "Modelfile", "export.json"}
    assert f'SYSTEM """{SYSTEM}"""' in (tmp_path / "out/Modelfile").read_text()


def test_qwen_s_shape_converts_as_well(converter: Path, tmp_path: Path) -> None:
    from kto_recipes.use.gguf_file import _convert

    recipe = {"chat_template": "tokenizer_default", "special_tokens": {"eos_token": "<|im_end|>"}}
    model = make_miniature(recipe, tmp_path / "qwen")
    tokenizer = qwen_tokenizer()
    set_template(tokenizer, recipe)
    tokenizer.save_pretrained(model)
    _convert(converter, model, tmp_path / "a.gguf", "f16")
    verify_gguf(tmp_path / "a.gguf", model, tokenizer)
    with pytest.raises(UserError, match="must be"):
        verify_gguf(tmp_path / "a.gguf", make_miniature(LLAMA_RECIPE, tmp_path / "llama"), tokenizer)


def test_a_converter_that_fails_leaves_its_last_line_and_nothing_else(run: Path, tmp_path: Path) -> None:
    (tmp_path / "llama.cpp/conversion").mkdir(parents=True)
    (tmp_path / "llama.cpp/conversion/base.py").write_text("class TextModel:\n    get_vocab_base_pre = None\n")
    (tmp_path / "llama.cpp/convert.py").write_text("raise SystemExit('no such architecture')")
    with pytest.raises(UserError, match="exit code 1 and no GGUF: no such architecture"):
        options = Options(converter=tmp_path / "llama.cpp/convert.py")
        export_run(run, "gguf", tmp_path / "out", force=False, options=options)
    assert [path.name for path in tmp_path.iterdir()] == ["llama.cpp"]
