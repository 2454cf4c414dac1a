"""Does the fast trainer align as well as stock TRL? The demo's KTO stage, both trainers, several seeds.

    make demo && python benchmarks/kto_quality.py

Reads the demo's run (its SFT model and KTO data); trains each seed with TRL's KTOTrainer and with FastKTOTrainer, on
the same rows with the same settings, and measures each on the held-out rows as `make eval` does. A third training has
FastKTOTrainer without length buckets: rows meet at random then, as with TRL, so that what is left between the two is
chance, and what buckets do stands apart. Writes benchmarks/results/kto_quality.json and kto_quality.svg.
"""

import time
from contextlib import redirect_stdout
from datetime import date
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer

from kto_recipes.cli import run

MEASURES = {
    "margin": "margin, nats",
    "auc": "AUC",
    "style_sampled": "replies in the persona's style",
    "train_s": "training, CPU seconds",
}
# What changes of the recipes' settings by the name of a training; TRL's trainer has none.
KINDS: dict[str, dict[str, bool] | None] = {"stock": None, "fast": {}, "no buckets": {"length_buckets": False}}
OURS = [kind for kind in KINDS if kind != "stock"]


def main(
    demo: Annotated[Path, typer.Option(help="A finished run of the tiny recipe.")] = Path(
        "outputs/tiny-llama-lora--chat-like-me"
    ),
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("benchmarks/results"),
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 5,
    steps: Annotated[int | None, typer.Option(help="Steps of each training; the recipe's epochs by default.")] = None,
    quick: Annotated[bool, typer.Option(help="One seed and four steps, to see that it works.")] = False,
) -> None:
    """Held-out margin, AUC and style after KTO with TRL's trainer and with ours, over several seeds."""
    from kto_recipes.errors import UserError
    from kto_recipes.files import write_json
    from kto_recipes.progress import progress_bar
    from kto_recipes.recipe import load_recipe

    named = Path(str(load_recipe(demo / "kto.yaml").get("output_dir")))
    if named.resolve() != (demo / "kto").resolve():  # its base model and its rows would be another run's as well
        raise UserError(f"{demo}/kto.yaml: output_dir is {named}; run this in the folder in which `make demo` ran")
    _alone_and_quiet()
    seeds, steps = (1, 4) if quick else (seeds, steps)
    judge = _Judge(demo)
    results: list[dict[str, Any]] = []
    with progress_bar() as bar:
        task = bar.add_task("trainings", total=seeds * len(KINDS), note="")
        for seed in range(seeds):
            for kind in list(KINDS)[:: 1 if seed % 2 == 0 else -1]:
                bar.update(task, note=f"seed {seed}, {kind}")
                results.append({"seed": seed, "kind": kind, **judge.measured(*_trained(demo, kind, seed, steps))})
                bar.advance(task)
    command = f"python benchmarks/kto_quality.py --seeds {seeds}" + (f" --steps {steps}" if steps else "")
    summary = {kind: {name: _difference(results, kind, name) for name in MEASURES} for kind in OURS}
    versions = {name: version(name) for name in ("trl", "transformers", "peft", "torch")}
    record = {"date": str(date.today()), "command": command, "versions": versions, "summary": summary, "runs": results}
    write_json(out / "kto_quality.json", record)
    _plot(results, out / "kto_quality.svg")
    _print(results, summary)
    margin = summary["fast"]["margin"]
    print(
        f"held-out margin, fast − stock: {margin['mean']:+.3f} ± {margin['half_width']:.3f} nats "
        f"(95 %, {seeds} seeds; {command})"
    )


def _alone_and_quiet() -> None:
    """One thread: matrices this small lose more by waiting for a second than it adds. Libraries' bars are off."""
    import torch
    from datasets.utils.logging import disable_progress_bar

    from kto_recipes.generation import quiet

    torch.set_num_threads(1)
    disable_progress_bar()
    quiet()


def _trained(demo: Path, kind: str, seed: int, steps: int | None) -> tuple[Any, float]:
    """The trained model, adapter included, and the CPU seconds that training took."""
    import torch
    from datasets import Dataset
    from kto_bench import as_in_recipes
    from peft import LoraConfig
    from transformers import set_seed
    from trl import KTOConfig, KTOTrainer

    from kto_recipes import chat_template
    from kto_recipes.generation import load
    from kto_recipes.recipe import load_recipe
    from kto_recipes.rows import read_kto
    from kto_recipes.trainer import FastKTOTrainer

    recipe = load_recipe(demo / "kto.yaml")
    loaded = load(str(recipe["base_model"]), recipe)
    render = chat_template(None)
    rows = [render(row, loaded.tokenizer) for row in read_kto(Path(recipe["datasets"][0]["path"]))]
    set_seed(seed)
    arguments = KTOConfig(
        output_dir=str(demo / "quality"),
        per_device_train_batch_size=recipe["micro_batch_size"],
        gradient_accumulation_steps=recipe["gradient_accumulation_steps"],
        num_train_epochs=recipe["num_epochs"],
        max_steps=steps or -1,
        learning_rate=recipe["learning_rate"],
        lr_scheduler_type=recipe["lr_scheduler"],
        warmup_steps=recipe["warmup_ratio"],
        beta=recipe["rl_beta"],
        max_length=recipe["sequence_len"],
        seed=seed,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
    )
    changes = KINDS[kind]
    more = {} if changes is None else {"settings": as_in_recipes(**changes)}
    started = time.process_time()
    trainer = (KTOTrainer if changes is None else FastKTOTrainer)(
        loaded.model,
        args=arguments,
        train_dataset=Dataset.from_list(rows).shuffle(seed=seed),
        processing_class=loaded.tokenizer,
        peft_config=LoraConfig(
            r=recipe["lora_r"], lora_alpha=recipe["lora_alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        **more,
    )
    with redirect_stdout(StringIO()):  # the trainer prints its summary
        trainer.train()
    return trainer.model.eval(), time.process_time() - started


class _Judge:
    """The held-out rows, what the SFT model says of them, and the style classifier of `make eval`."""

    def __init__(self, demo: Path) -> None:
        from kto_recipes.evaluate.figures import HeldRows
        from kto_recipes.evaluate.measure import EvalSettings, logps, tokenize_held
        from kto_recipes.evaluate.measured import replies_for_style
        from kto_recipes.evaluate.models import run_models
        from kto_recipes.evaluate.style import persona_rows, style_classifier
        from kto_recipes.generation import load
        from kto_recipes.rows import prompt_key, read_kto

        models = run_models(demo)
        path = Path(models.recipe["test_datasets"][0]["path"])
        rows = read_kto(path)
        self.settings = EvalSettings()
        self.held = HeldRows.of(rows)
        self.beta = models.recipe["rl_beta"]
        self.reference = load(models.paths[models.reference], models.recipe)
        prompts = list({prompt_key(row): row["prompt"] for row in rows}.values())
        self.pairs = tokenize_held(self.reference, rows, prompts)
        self.start = logps(self.reference, self.pairs.matched, _silent)
        train = persona_rows(path.with_name("kto.train.jsonl"))
        shown = [row["prompt"] for row in train[: self.settings.style_train_prompts]]
        base = load(models.paths["base"], models.recipe, tokenizer=models.paths["kto"])
        self.style = style_classifier(train, replies_for_style(base, shown, self.settings, _silent), self.settings.seed)

    def measured(self, model: Any, seconds: float) -> dict[str, float]:
        from sklearn.metrics import roc_auc_score

        from kto_recipes.evaluate.measure import logps
        from kto_recipes.generation import Loaded, Sampling, generate, text_of

        loaded = Loaded(model, self.reference.tokenizer)
        rewards = self.beta * (logps(loaded, self.pairs.matched, _silent) - self.start)
        good = self.held.desirable
        prompts = [prompt for prompt in self.pairs.prompts for _ in range(self.settings.samples_per_prompt)]
        replies = generate(loaded, prompts, Sampling(self.settings.max_new_tokens), seed=self.settings.seed)
        return {
            "margin": float(rewards[good].mean() - rewards[~good].mean()),
            "auc": float(roc_auc_score(good, rewards)),
            "style_sampled": float(self.style.is_persona([text_of(loaded, ids) for ids in replies]).mean()),
            "train_s": seconds,
        }


def _silent(_: int) -> None:
    """Progress that nobody watches."""


def _difference(results: list[dict[str, Any]], kind: str, name: str) -> dict[str, float]:
    """`kind` − stock over the seeds, paired: mean and half width of the 95 % interval (Student's t)."""
    import numpy as np
    from scipy.stats import t

    stock, ours = (_by_seed(results, side, name) for side in ("stock", kind))
    difference = np.subtract(ours, stock)
    n = len(difference)
    half = float(t.ppf(0.975, n - 1) * difference.std(ddof=1) / n**0.5) if n > 1 else float("nan")
    return {
        "stock": float(np.mean(stock)),
        "ours": float(np.mean(ours)),
        "mean": float(difference.mean()),
        "half_width": half,
    }


def _by_seed(results: list[dict[str, Any]], kind: str, name: str) -> list[float]:
    return [result[name] for result in sorted(results, key=lambda r: r["seed"]) if result["kind"] == kind]


def _print(results: list[dict[str, Any]], summary: dict[str, dict[str, dict[str, float]]]) -> None:
    from itertools import chain

    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"KTO on the demo, {len(results) // len(KINDS)} seeds", title_justify="left")
    table.add_column("")
    for column in ("stock", *(text for kind in OURS for text in (kind, f"{kind} − stock, 95 %"))):
        table.add_column(column, justify="right", no_wrap=True)
    for name, label in MEASURES.items():
        figures = [summary[kind][name] for kind in OURS]
        pairs = [(f"{f['ours']:.3f}", f"{f['mean']:+.3f} ± {f['half_width']:.3f}") for f in figures]
        table.add_row(label, f"{figures[0]['stock']:.3f}", *chain.from_iterable(pairs))
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)


def _plot(results: list[dict[str, Any]], path: Path) -> None:
    """One panel for each measure, one line for each seed, from stock to ours."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "kto", "font.size": 9})
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, panels = pyplot.subplots(1, len(MEASURES), figsize=(10, 2.8), layout="constrained")
    for panel, (name, label) in zip(panels, MEASURES.items(), strict=True):
        for seed in sorted({r["seed"] for r in results}):
            values = [_by_seed([r for r in results if r["seed"] == seed], kind, name)[0] for kind in KINDS]
            panel.plot(list(KINDS), values, marker="o", label=f"seed {seed}")
        panel.set_title(label, fontsize=9)
        panel.set_xlim(-0.4, len(KINDS) - 0.6)
        if name != "train_s":
            panel.margins(y=0.6)
    panels[-1].set_ylim(bottom=0)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(
        "KTO on the demo's data: TRL's trainer and ours, same settings, one line for each seed", fontsize=10
    )
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    run(main)
