"""What a server is given of a run's model: a folder, the template of the training with it, and a name."""

import os
import shutil
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.files import read_json, write_json
from kto_recipes.tokenizer_files import reply_ends, tokenizer_files
from kto_recipes.use.run import FinishedRun

FOLDER = "serve"
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def linked_model(run: FinishedRun, name: str) -> Path:
    """A folder of links in the run's, that makes a whole model of the weights and of the run's tokenizer.

    A base model has no chat template of its own, or another one. In generation_config.json every end of a turn ends a
    reply, and a request's temperature counts: `transformers serve` takes the temperature, but not that it samples.
    """
    source, folder = local_folder(run.model(name)), run.folder / FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    weights = sorted({path for pattern in _WEIGHTS for path in source.glob(pattern)})
    for path in [source / "config.json", *weights, *tokenizer_files(run.tokenizer)]:
        (folder / path.name).symlink_to(os.path.relpath(path.absolute(), folder.absolute()))
    write_json(folder / "generation_config.json", {**generation_settings(source, run.tokenizer), "do_sample": True})
    return folder


def local_folder(model: str) -> Path:
    """The folder of a model on this machine, where a Hub name's was downloaded to.

    Raises:
        UserError: when it is not here.
    """
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        raise UserError(f"{model}: neither a folder nor in the Hub's cache on this machine") from None


def generation_settings(model: Path, tokenizer: Path) -> dict[str, Any]:
    """The special tokens of generation_config.json; those that end a reply are the model's own and the template's."""
    known = read_json(model / "generation_config.json") if (model / "generation_config.json").is_file() else {}
    kept = {key: known[key] for key in ("bos_token_id", "pad_token_id") if known.get(key) is not None}
    return {**kept, "eos_token_id": reply_ends(known, tokenizer)}


def context_length(model: Path, most: int) -> int:
    """Tokens that a conversation may have, at most `most`: the cache for 131,072 of them needs a GPU of its own."""
    return min(most, read_json(model / "config.json").get("max_position_embeddings", most))
