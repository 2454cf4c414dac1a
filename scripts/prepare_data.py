"""Prepare a dataset as its dataset.yaml says: conversations for SFT, answers for KTO, and a manifest.

    python scripts/prepare_data.py datasets/chat-like-me

Reads dataset.yaml and the export it names; writes {sft,positives}.{train,eval}.jsonl beside them, and
manifest.json last. Does nothing when that was done already from the same files.
"""

from pathlib import Path
from typing import Annotated

import typer

from kto_recipes.cli import run


def main(
    folder: Annotated[Path, typer.Argument(help="A folder in datasets/ that holds a dataset.yaml.")],
) -> None:
    """Prepare a dataset as its dataset.yaml says: conversations for SFT, answers for KTO, and a manifest."""
    from kto_recipes.prepare.chats import prepare

    prepared = prepare(folder)
    if not prepared.was_current:
        _print(folder, prepared.manifest)


def _print(folder: Path, manifest: dict) -> None:
    messages = manifest["messages"]
    out = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in messages["left_out"].items())
    print(f"{folder}: {messages['read']} messages, {messages['in_turns']} used; left out: {out or 'none'}")
    repeated = "".join(f", {count} {reason} left out" for reason, count in manifest["left_out"].items())
    written = manifest["written"]
    for split in ("train", "eval"):
        conversations, replies = (
            written[f"sft.{split}.jsonl"]["rows"],
            written[f"positives.{split}.jsonl"]["rows"],
        )
        print(f"  {split + ':':7}{conversations:6} conversations, {replies:6} replies")
    print(f"  from {manifest['read']} replies{repeated}; details in {folder / 'manifest.json'}")


if __name__ == "__main__":
    run(main)
