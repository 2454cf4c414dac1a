"""Recipes and tools to align language models with KTO.

Axolotl resolves `type: kto_recipes.chat_template` in a recipe as "module kto_recipes, function
chat_template", so the function lives here, no submodule may take its name, and importing this must stay
cheap.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["chat_template"]


def chat_template(cfg: Any, **_: Any) -> Callable[..., dict[str, Any]]:
    """Axolotl dataset strategy: KTO rows rendered with the tokenizer's own chat template.

    Axolotl's KTO strategies hard-code their formats and most render one user turn; this one gives the same
    token ids at KTO as at SFT and at inference, system prompt and earlier turns included.

    Args:
        cfg: Axolotl's configuration; not needed, the template is the tokenizer's by now.

    Returns:
        A function (sample, tokenizer) → {"prompt": str, "completion": str, "label": bool}. A beginning-of-text
        token that the tokenizer adds by itself is left out of the prompt, so that it does not stand there twice.
        The completion ends with the end-of-turn token, and nothing the template writes after it is kept.
    """

    def transform(sample: dict[str, Any], tokenizer: Any = None) -> dict[str, Any]:
        prompt = tokenizer.apply_chat_template(sample["prompt"], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(sample["prompt"] + sample["completion"], tokenize=False)
        if not whole.startswith(prompt):
            raise ValueError(
                "the chat template renders a prompt differently when an answer follows it; "
                "KTO cannot tell where the answer begins"
            )
        completion = whole[len(prompt) :]
        if tokenizer.eos_token not in completion:
            raise ValueError(
                f"the chat template does not end an answer with {tokenizer.eos_token!r}; "
                "set special_tokens: eos_token: to the template's end-of-turn token"
            )
        end = completion.rindex(tokenizer.eos_token) + len(tokenizer.eos_token)
        return {
            "prompt": _without_automatic_bos(prompt, tokenizer),
            "completion": completion[:end],
            "label": sample["label"],
        }

    return transform


def _without_automatic_bos(text: str, tokenizer: Any) -> str:
    adds_bos = tokenizer.bos_token_id is not None and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(tokenizer.bos_token) if adds_bos else text
