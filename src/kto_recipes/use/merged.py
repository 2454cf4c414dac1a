"""The KTO model as one folder that Transformers, vLLM and everything else loads."""

import shutil
from pathlib import Path
from typing import Any

from kto_recipes.errors import UserError
from kto_recipes.files import write_json
from kto_recipes.templates import recipe_template
from kto_recipes.tokenizer_files import tokenizer_files
from kto_recipes.use.run import FinishedRun
from kto_recipes.use.served import generation_settings

_WEIGHTS = ("config.json", "*.safetensors", "*.safetensors.index.json")


def write_merged(run: FinishedRun, folder: Path, final: Path, options: Any) -> list[str]:
    """Copy weights, tokenizer, template and generation settings, and see that they load."""
    source = Path(run.models.paths["kto"])
    for path in sorted({path for pattern in _WEIGHTS for path in source.glob(pattern)}):
        shutil.copyfile(path, folder / path.name)
    copy_tokenizer(run, folder)
    if (run.folder / "README.md").is_file():
        shutil.copyfile(run.folder / "README.md", folder / "README.md")
    verify_loads(folder)
    return [f"vllm serve {final} --served-model-name kto", f'AutoModelForCausalLM.from_pretrained("{final}")']


def copy_tokenizer(run: FinishedRun, folder: Path) -> None:
    """Copy the run's tokenizer and template, and write generation_config.json, by which a reply ends where it should.

    Raises:
        UserError: when the tokenizer's template is not the recipe's.
    """
    from transformers import AutoTokenizer

    for path in tokenizer_files(run.tokenizer):
        shutil.copyfile(path, folder / path.name)
    write_json(folder / "generation_config.json", generation_settings(run.tokenizer, run.tokenizer))
    template = AutoTokenizer.from_pretrained(folder).chat_template
    if template is None or recipe_template(run.models.recipe) not in (None, template):
        raise UserError(f"{run.tokenizer}: its tokenizer has not the chat template of kto.yaml; merge again (make kto)")


def verify_loads(folder: Path) -> None:
    """Load the model as a stranger would, and read one token with it.

    Raises:
        UserError: when a weight is missing, of another shape or superfluous, or the logits are not finite.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from kto_recipes.generation import quiet

    quiet()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: cannot be loaded as a model: {str(error).splitlines()[0]}") from None
    wrong = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if wrong:
        kind, names = next(iter(wrong.items()))
        raise UserError(f"{folder}: {kind.replace('_', ' ')}: {', '.join(names[:3])}; merge again (make kto)")
    with torch.inference_mode():
        logits = model(torch.tensor([[tokenizer.eos_token_id]])).logits
    if not torch.isfinite(logits).all():
        raise UserError(f"{folder}: the model's logits are not finite; the training went wrong, see the run's report")
