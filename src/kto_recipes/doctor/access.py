"""Whether the base model may be downloaded, told before a machine is paid for."""

from pathlib import Path

from kto_recipes.doctor import hub
from kto_recipes.doctor.finding import Finding
from kto_recipes.doctor.hub import Access
from kto_recipes.errors import UserError

GATED = ("meta-llama/",)  # owners whose models all ask for a licence to be accepted first


def names_a_folder(model: str) -> bool:
    """Whether `model` is taken for a folder, be it there or not, and not for a name on the Hub."""
    return Path(model).is_dir() or model.startswith((".", "/", "outputs/"))


def access_finding(model: str) -> Finding:
    """What stands between this machine and `model`, a local folder or a name on the Hub."""
    if Path(model).is_dir():
        return Finding("access", "ok", f"{model} is a folder here")
    if names_a_folder(model):
        return Finding(
            "access", "error", f"base_model {model}: no such folder", "Make it first, or correct base_model."
        )
    try:
        hub.refuse_torn_download(model)
    except UserError as error:
        return Finding("access", "error", str(error))
    if hub.is_cached(model):
        return Finding("access", "ok", f"{model} is in the Hub cache")
    token = hub.has_token()
    if model.startswith(GATED) and not token:
        return Finding("access", "error", f"{model} is gated and HF_TOKEN is not set", _ask(model))
    access = hub.access_to(model)
    if access is Access.GRANTED:
        return Finding("access", "ok", f"{model} may be downloaded from the Hub")
    if access is Access.GATED:
        whose = "the account of HF_TOKEN has no access to it" if token else "HF_TOKEN is not set"
        return Finding("access", "error", f"{model} is gated and {whose}", _ask(model))
    if access is Access.MISSING:
        message = f"the Hub shows no model {model}, or it is private, or HF_TOKEN is not valid"
        return Finding(
            "access", "error", message, "Correct base_model, or export the HF_TOKEN of an account that sees it."
        )
    message = f"access to {model} could not be checked: the Hub was not reached"
    return Finding("access", "warning", message, "Check the network; HF_HUB_OFFLINE=1 forbids downloads.")


def refuse_no_access(model: str) -> None:
    """Stop where a Hub model can be loaded neither from the cache nor from the Hub; a Hub out of reach is no reason.

    Raises:
        UserError: with what stands in the way, and what to do.
    """
    if names_a_folder(model):
        return
    finding = access_finding(model)
    if finding.status == "error":
        raise UserError(f"{finding.message}. {finding.advice}" if finding.advice else finding.message)


def _ask(model: str) -> str:
    return (
        f"Ask for access at https://huggingface.co/{model}, make a token at "
        "https://huggingface.co/settings/tokens, then: export HF_TOKEN=hf_…"
    )
