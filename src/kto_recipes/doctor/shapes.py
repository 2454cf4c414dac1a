"""The dimensions of a model, from which its memory and its size on disk follow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kto_recipes.doctor.hub import cached_file
from kto_recipes.files import read_json


@dataclass(frozen=True)
class Shape:
    """A decoder of Llama's kind: gated MLP, grouped-query attention, RMS norms."""

    hidden: int
    layers: int
    ffn: int
    heads: int
    kv_heads: int
    vocab: int
    tied: bool  # the head is the embedding
    qkv_bias: bool = False
    head_dim: int = 0  # 0: hidden / heads

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear layers of one block: name → (inputs, outputs)."""
        head_dim = self.head_dim or self.hidden // self.heads
        queries, keys = self.heads * head_dim, self.kv_heads * head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.ffn),
            "up_proj": (self.hidden, self.ffn),
            "down_proj": (self.ffn, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Weights of the blocks' linear layers: what 4-bit loading quantizes."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def other_parameters(self) -> int:
        """Embedding, head, norms and biases."""
        linears = self.linears
        biases = sum(linears[name][1] for name in ("q_proj", "k_proj", "v_proj")) if self.qkv_bias else 0
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * (2 * self.hidden + biases) + self.hidden

    @property
    def parameters(self) -> int:
        return self.linear_parameters + self.other_parameters


# https://huggingface.co/meta-llama/Llama-3.1-8B/blob/main/config.json and "The Llama 3 Herd of Models" (arXiv
# 2407.21783, table 3); https://huggingface.co/Qwen/Qwen2.5-3B/blob/main/config.json. The instruct models are alike.
_LLAMA_8B = Shape(hidden=4096, layers=32, ffn=14336, heads=32, kv_heads=8, vocab=128256, tied=False)
_QWEN_3B = Shape(hidden=2048, layers=36, ffn=11008, heads=16, kv_heads=2, vocab=151936, tied=True, qkv_bias=True)
KNOWN = {
    "meta-llama/Llama-3.1-8B": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
    "Qwen/Qwen2.5-3B": _QWEN_3B,
    "Qwen/Qwen2.5-3B-Instruct": _QWEN_3B,
}
_LIKE_LLAMA = {
    "llama": False,
    "mistral": False,
    "qwen2": True,
}  # model_type → whether queries, keys, values have a bias


def shape_of(model: str) -> Shape | None:
    """The shape of a local model folder, a model in the Hub cache or one of the table; None where it is unknown."""
    folder = Path(model)
    config = folder / "config.json" if folder.is_dir() else cached_file(model, "config.json")
    if config is not None and config.is_file():
        return _from_config(read_json(config))
    return KNOWN.get(model)


def _from_config(config: dict[str, Any]) -> Shape | None:
    bias = _LIKE_LLAMA.get(config.get("model_type", ""))
    if bias is None:
        return None
    heads = config["num_attention_heads"]
    return Shape(
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        ffn=config["intermediate_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        vocab=config["vocab_size"],
        tied=config.get("tie_word_embeddings", False),
        qkv_bias=bias or config.get("attention_bias", False),
        head_dim=config.get("head_dim") or 0,
    )
