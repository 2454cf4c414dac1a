"""What the Hugging Face Hub has for this machine: what lies in its cache, and what may be downloaded."""

import os
from enum import Enum
from pathlib import Path

import orjson

from kto_recipes.errors import UserError

TIMEOUT_SECONDS = 5.0
KERNEL = "kernels-community/flash-attn2"  # what Transformers loads where the flash-attn package is absent
_INDEX = "model.safetensors.index.json"


class Access(Enum):
    """What the Hub answers when a model's config.json is asked for."""

    GRANTED = "granted"
    GATED = "gated"
    MISSING = "missing"
    UNREACHABLE = "unreachable"


def cached_file(model: str, name: str) -> Path | None:
    """The file `name` of a Hub model in this machine's cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, name)
    except HFValidationError:  # no name that the Hub could have
        return None
    return Path(found) if isinstance(found, str) else None


def is_cached(model: str) -> bool:
    """Whether a Hub model's weights are whole in the cache."""
    index = cached_file(model, _INDEX)
    if index is None:
        return cached_file(model, "model.safetensors") is not None
    shards = set(orjson.loads(index.read_bytes())["weight_map"].values())
    return all(cached_file(model, shard) for shard in shards)


def cache_folder() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def has_token() -> bool:
    """Whether HF_TOKEN is set or a login was saved; the token itself goes nowhere but to the Hub."""
    from huggingface_hub import get_token

    return get_token() is not None


def access_to(model: str) -> Access:
    """Ask the Hub, within seconds, whether this machine may download `model`."""
    import httpx
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        get_hf_file_metadata(hf_hub_url(model, "config.json"), token=has_token(), timeout=TIMEOUT_SECONDS)
    except GatedRepoError:
        return Access.GATED
    except (RepositoryNotFoundError, EntryNotFoundError, HFValidationError):
        return Access.MISSING
    except (OSError, httpx.HTTPError):
        return Access.UNREACHABLE
    return Access.GRANTED


def kernel_is_cached() -> bool:
    """Whether a build of the FlashAttention 2 kernel lies in the kernels' cache."""
    folder = Path(os.environ.get("KERNELS_CACHE") or cache_folder())
    return any(folder.glob(f"*--{KERNEL.replace('/', '--')}/snapshots/*/build/*"))


def kernel_is_reachable() -> bool:
    import httpx
    from huggingface_hub import HfApi

    try:
        HfApi().repo_info(KERNEL, repo_type="kernel", timeout=TIMEOUT_SECONDS)
    except (OSError, httpx.HTTPError):
        return False
    return True


def download_tokenizer(model: str) -> None:
    """Fetch a Hub model's tokenizer to the cache; a local folder has what it has.

    Raises:
        UserError: when the Hub does not give it.
    """
    import httpx
    from huggingface_hub import snapshot_download

    if Path(model).is_dir():
        return
    try:
        snapshot_download(model, allow_patterns=["tokenizer*", "chat_template*", "config.json"])
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise UserError(f"{model}: its tokenizer cannot be downloaded ({type(error).__name__})") from None
