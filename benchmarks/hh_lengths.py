"""Count how long the rows of HH-RLHF are: hh_lengths.json, which the benchmarks draw their rows' lengths from.

    python benchmarks/hh_lengths.py harmless-base.test.jsonl

Reads pairs of dialogues as Anthropic publishes them, the answer at the end of each; both answers of a pair make a row.
Writes counts of buckets, no text.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from kto_recipes.cli import run

PROMPT_EDGES = [1, 16, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 640]
COMPLETION_EDGES = [1, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 576]
# Llama 3's template: BOS; header and end of each message; the header of the answer, and its end.
BOS, MESSAGE, HEADER, END = 1, 5, 4, 1
OUT = Path(__file__).with_suffix(".json")
SOURCE = "HH-RLHF harmless-base, test (Anthropic, MIT), https://github.com/anthropics/hh-rlhf"
TOKENS = (
    "Mistral's byte-level BPE of 131,072 tokens (tekken_240718 of mistral_common); the turns' markers as many as in "
    "Llama 3's chat template"
)


def main(
    pairs: Annotated[Path, typer.Argument(help="harmless-base's test.jsonl, or a part of it.")],
    out: Annotated[Path, typer.Option(help="Where the counts go.")] = OUT,
) -> None:
    """Count how long the rows of HH-RLHF are."""
    import numpy as np
    import orjson

    from kto_recipes.files import write_text

    count = _counter()
    lines = [orjson.loads(line) for line in pairs.read_bytes().splitlines()]
    text: dict[str, Any] = {"source": f"{SOURCE}: {len(lines)} pairs", "tokens": TOKENS, "rows": 2 * len(lines)}
    text |= {"prompt_edges": PROMPT_EDGES, "completion_edges": COMPLETION_EDGES}
    for name, answer in (("desirable", "chosen"), ("undesirable", "rejected")):
        lengths = np.array([_lengths(line[answer], count) for line in lines])
        counts = np.histogram2d(*lengths.T, bins=(PROMPT_EDGES, COMPLETION_EDGES))[0].astype(int)
        if counts.sum() != len(lines):
            raise ValueError(f"{name}: a row is longer than the last bucket, {lengths.max(0)} tokens")
        text[name] = counts.tolist()
    write_text(out, "{\n" + ",\n".join(f' "{key}": {_json(value)}' for key, value in text.items()) + "\n}\n")
    print(f"{2 * len(lines)} rows counted in {out}")


def _json(value: Any) -> str:
    """A matrix row by row, anything else in one line."""
    if isinstance(value, list) and isinstance(value[0], list):
        return "[\n  " + ",\n  ".join(json.dumps(row) for row in value) + "\n ]"
    return json.dumps(value)


def _counter() -> Callable[[str], int]:
    import mistral_common
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    tokenizer = Tekkenizer.from_file(Path(mistral_common.__file__).parent / "data" / "tekken_240718.json")
    return lambda text: len(tokenizer.encode(text.strip(), bos=False, eos=False))


def _lengths(dialogue: str, count: Callable[[str], int]) -> tuple[int, int]:
    """Tokens of the prompt and of the answer to it."""
    turns = re.split(r"\n\n(?:Human|Assistant):", dialogue)[1:]
    prompt = BOS + sum(MESSAGE + count(turn) for turn in turns[:-1]) + HEADER
    return prompt, count(turns[-1]) + END


if __name__ == "__main__":
    run(main)
