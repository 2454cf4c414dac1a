"""Small runs as the chain leaves them: three random models, nine held-out rows of five prompts."""

import shutil
from pathlib import Path
from typing import Any

import yaml
from tiny_models import LLAMA_RECIPE

from kto_recipes.evaluate.measure import EvalSettings
from kto_recipes.evaluate.run import evaluate_run
from kto_recipes.rows import write_jsonl

SETTINGS = EvalSettings(samples_per_prompt=2, max_new_tokens=6, style_train_prompts=4)
BETA = 0.2
PROMPTS = ["hi", "how was the ferry?", "dinner?", "is it raining", "bye"]
REWARDS = {"reward_desirable", "reward_undesirable", "margin", "auc", "z0", "accuracy_z0"}
OF_REPLIES = {"kl", "length", "distinct_1", "distinct_2", "repetition", "refusals"}
STYLE = {"style_greedy", "style_sampled"}
FIGURES = REWARDS | OF_REPLIES | STYLE


def row(prompt: str, answer: str, label: bool, source: str, number: int) -> dict[str, Any]:
    meta = {"id": f"{number}", "group": prompt, "source": source}
    if not label:
        meta |= {"strategy": "template" if number % 2 else "base_sample", "parent": "x"}
    return {
        "prompt": [{"role": "system", "content": "You are Ada."}, {"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": answer}],
        "label": label,
        "meta": meta,
    }


def held_out(source: str = "telegram") -> list[dict[str, Any]]:
    """Nine rows of five prompts: the desirable ones first, then the undesirable ones, one prompt without."""
    good = [row(prompt, f"nooo {prompt}", True, source, number) for number, prompt in enumerate(PROMPTS)]
    bad = [row(prompt, f"Regarding {prompt}.", False, source, 10 + n) for n, prompt in enumerate(PROMPTS[:4])]
    return good + bad


def make_run(folder: Path, models: Path, *, sft: bool = True, source: str = "telegram") -> Path:
    """A run's folder as the chain leaves it, with `models` in the places its YAML files name."""
    run = folder / "run"
    shutil.copytree(models / "kto", run / "kto" / "merged")
    train = [row(f"{prompt} {n}", f"nooo {prompt} {n}", True, source, n) for n in range(3) for prompt in PROMPTS]
    write_jsonl(run / "data" / "kto.train.jsonl", train)
    write_jsonl(run / "data" / "kto.eval.jsonl", held_out(source))
    if sft:
        shutil.copytree(models / "sft", run / "sft" / "merged")
        about = {"base_model": str(models / "base"), "adapter": "lora", "output_dir": str(run / "sft")}
        (run / "sft.yaml").write_text(yaml.safe_dump(about))
    kto = LLAMA_RECIPE | {
        "base_model": str(run / "sft" / "merged" if sft else models / "base"),
        "output_dir": str(run / "kto"),
        "test_datasets": [{"path": str(run / "data" / "kto.eval.jsonl")}],
        "adapter": "lora",
        "rl_beta": BETA,
    }
    (run / "kto.yaml").write_text(yaml.safe_dump(kto))
    return run


def evaluated(run: Path, settings: EvalSettings = SETTINGS) -> tuple[bool, dict[str, int], dict[str, int]]:
    """What `evaluate_run` answered, and how much work each of its tasks announced and did."""
    announced: dict[str, int] = {}
    done: dict[str, int] = {}

    def start_task(name: str, total: int) -> Any:
        announced[name], done[name] = total, 0

        def on_done(count: int) -> None:
            done[name] += count

        return on_done

    return evaluate_run(run, settings, start_task), announced, done
