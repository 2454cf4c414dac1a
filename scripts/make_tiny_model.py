"""Make the demo's base model: a tiny Llama with a formal manner, trained here in about a minute.

    python scripts/make_tiny_model.py --out outputs/models/tiny-llama

Reads the corpus inside the package; writes a Transformers model folder, and `done` last. Does nothing when
the folder already holds what these settings make.
"""

from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run
from kto_recipes.files import model_sha256, read_json, sha256_text, write_json


def main(
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")] = Path("outputs/models/tiny-llama"),
    seed: Annotated[int, typer.Option(help="Same seed, same weights.")] = 0,
) -> None:
    """Make the demo's base model: a tiny Llama with a formal manner, trained here in about a minute."""
    made_from = _made_from(seed)
    done = out / "done"
    if done.is_file():
        recorded = read_json(done)
        if recorded["made_from"] == made_from and recorded["sha256"] == model_sha256(str(out)):
            return
    _train(out, seed)
    write_json(done, {"made_from": made_from, "sha256": model_sha256(str(out))})


def _made_from(seed: int) -> dict[str, object]:
    """What decides the weights: the package's sources and corpus for it, the seed and the libraries."""
    package = files("kto_recipes.tiny")
    sources = "".join(p.read_text() for p in sorted(package.iterdir(), key=str) if p.suffix in (".py", ".yaml"))
    libraries = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    return {"seed": seed, "sources": sha256_text(sources), "versions": libraries}


def _train(out: Path, seed: int) -> None:
    from rich.console import Console

    from kto_recipes.generation import quiet
    from kto_recipes.progress import progress_bar

    quiet()
    from kto_recipes.tiny.corpus import conversations
    from kto_recipes.tiny.model import TinySettings, train
    from kto_recipes.tiny.tokenizer import train_tokenizer

    settings = TinySettings(seed=seed)
    corpus = conversations(settings.conversations, settings.seed)
    tokenizer = train_tokenizer((m["content"] for c in corpus for m in c), settings.vocab_size)
    with progress_bar() as bar:
        task = bar.add_task("base model", total=None, note="")

        def on_step(step: int, steps: int, loss: float) -> None:
            bar.update(task, completed=step, total=steps, note=f"loss {loss:.2f}")

        model = train(tokenizer, corpus, settings, on_step)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    Console().print(f"base model: {millions:.1f} million parameters, {asdict(settings)['conversations']} conversations")


if __name__ == "__main__":
    run(main)
