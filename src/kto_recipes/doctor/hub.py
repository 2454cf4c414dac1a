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
    """Whether all of a Hub model's weights lie in the cache."""
    return all(_weights(model))


def _weights(model: str) -> list[Path | None]:
    """The cached files of a Hub model's weights, None for each that is not there."""
    index = cached_file(model, _INDEX)
    if index is None:
        return [cached_file(model, "model.safetensors")]
    try:
        shards = sorted(set(orjson.loads(index.read_bytes())["weight_map"].values()))
    except orjson.JSONDecodeError:
        return [index]
    return [cached_file(model, shard) for shard in shards]


def refuse_torn_download(model: str) -> None:
    """Stop where a file of a Hub model's weights is cut short, as when a cache was copied in part or its disk was full.

    What the Hub's own client leaves behind when it is killed has another name, and it goes on from there by itself.

    Raises:
        UserError: it names the file, which has to go: under its final name nothing looks at it again.
    """
    from safetensors import SafetensorError, safe_open

    for path in filter(None, _weights(model)):
        try:
            with safe_open(path, framework="numpy"):  # reads the header, and compares the size with it
                pass
        except (OSError, SafetensorError):
            file = path.resolve()
            size = file.stat().st_size if file.exists() else 0
            raise UserError(
                f"{model}: {path.name} is cut short in the Hub's cache, at {size:,} bytes; delete {file}, and the "
                "same command downloads it again"
            ) from None


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
    return is_reachable(KERNEL, "kernel")


def is_reachable(repository: str, kind: str) -> bool:
    """Whether the Hub answers, within seconds, for a repository of that kind; HF_HUB_OFFLINE=1 is an answer, too."""
    import httpx
    from huggingface_hub import HfApi

    try:
        HfApi().repo_info(repository, repo_type=kind, timeout=TIMEOUT_SECONDS)
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
