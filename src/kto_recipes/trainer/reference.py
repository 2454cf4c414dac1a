"""Reference log-probabilities on disk, under a key of everything they depend on.

TRL's own cache hashes the randomly initialised adapter too, and all weights upcast to float32: it misses on every
repeated LoRA run and takes 32 GB for an 8B model.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kto_recipes.files import atomic_write

_SAMPLES = 4096
_FORMAT = 2  # raised when what is stored changes its meaning, or has been wrong
# Of a model's configuration what its values do not depend on.
_OF_NO_EFFECT = {"_name_or_path", "architectures", "dtype", "transformers_version", "use_cache"}


def weights_key(model: nn.Module) -> str:
    """What identifies the reference's weights: every tensor's name, shape, dtype and 4,096 of its values, evenly apart.

    A step of training changes nearly every value of a tensor, so that a sample tells models apart; reading all of an
    8B model would take longer than loading it. Adapters in training are not part of the reference and are left out;
    a frozen adapter named "ref", which TRL makes of a trained one, is part of it.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted([*model.named_parameters(), *model.named_buffers()]):
        if ("lora_" in name or "modules_to_save" in name) and ".ref." not in name:
            continue
        sample = _sample(getattr(parameter, "ds_tensor", parameter))  # ZeRO-3 keeps the rank's shard there
        if (state := getattr(parameter, "quant_state", None)) is not None:  # 4-bit codes mean nothing without scales
            digest.update(_sample(state.absmax))
        # an adapter wraps a layer in names of its own; the layer is the same
        plain = name.replace("base_model.model.", "").replace(".base_layer", "").replace(".original_module", "")
        digest.update(f"{plain} {tuple(parameter.shape)} {parameter.dtype}".encode())
        digest.update(sample)
    return digest.hexdigest()


def _sample(values: Tensor) -> bytes:
    flat = values.detach().flatten()
    taken = flat[:: max(len(flat) // _SAMPLES, 1)].cpu().contiguous()
    return taken.view(torch.uint8).numpy().tobytes() if taken.numel() else b""


def config_key(config: Any) -> str:
    """What identifies the way a model uses its weights: a window, an epsilon, the experts of a token."""
    values = {name: value for name, value in config.to_dict().items() if name not in _OF_NO_EFFECT}
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def rows_key(dataset: Dataset, columns: list[str]) -> str:
    """What identifies the data: the token ids of every row, which hold the template and the order as well."""
    digest = hashlib.sha256()
    for table in dataset.select_columns(columns).with_format("arrow").iter(1000):
        for column in columns:
            tokens = table[column].combine_chunks()
            digest.update(pc.list_value_length(tokens).to_numpy().astype(np.int64).tobytes())
            digest.update(tokens.flatten().to_numpy().astype(np.int64).tobytes())
    return digest.hexdigest()


def cache_file(folder: Path, key: dict[str, Any]) -> Path:
    return folder / f"{hashlib.sha256(_text(key).encode()).hexdigest()[:32]}.safetensors"


def read_cache(path: Path, key: dict[str, Any], rows: int) -> dict[str, Tensor] | None:
    """The cached values, each [rows] float32; none where the file is absent, torn or another's."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError):
        return None
    whole = all(value.shape == (rows,) and bool(value.isfinite().all()) for value in values.values())
    is_ours = metadata.get("key") == _text(key) and metadata.get("sha256") == _sha256(values)
    return values if values and whole and is_ours else None


def write_cache(path: Path, key: dict[str, Any], values: dict[str, Tensor]) -> None:
    """Write whole or not at all.

    Raises:
        OSError: when the folder cannot be written or the disk is full.
    """
    with atomic_write(path) as file:
        file.write(save(values, metadata={"key": _text(key), "sha256": _sha256(values)}))


def _text(key: dict[str, Any]) -> str:
    return json.dumps({"format": _FORMAT, **key}, sort_keys=True)


def _sha256(values: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(values):
        digest.update(name.encode())
        digest.update(values[name].numpy().tobytes())
    return digest.hexdigest()
