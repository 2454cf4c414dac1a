"""A finished run of random weights: base, SFT and KTO model as the chain leaves them, with their adapters."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_models import LLAMA_RECIPE, random_llama, trained_tokenizer, write_base
from transformers import AutoModelForCausalLM

from kto_recipes.files import model_sha256

SYSTEM = "You are Nina, \"la capa\" of d'Orto's [bold]chat[/bold]."
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]


def make_run(folder: Path, *, kto_alpha: int = 8) -> Path:
    """SFT's adapter has rank 4 and scaling 2; KTO's has rank 6 and `kto_alpha`, and one module more."""
    base = write_base(folder / "base", random_llama(0))
    run = folder / "run"
    sft = train(base, run / "sft", LoraConfig(r=4, lora_alpha=8, target_modules=MODULES), seed=1)
    more = [*MODULES, "gate_proj"]
    train(sft, run / "kto", LoraConfig(r=6, lora_alpha=kto_alpha, target_modules=more), seed=2)
    write_recipe(run / "sft.yaml", base_model=str(base), output_dir=str(run / "sft"))
    rows = write_rows(run / "data" / "kto.eval.jsonl")
    datasets = [{"path": str(rows), "type": "kto_recipes.chat_template"}]
    write_recipe(run / "kto.yaml", base_model=str(sft), output_dir=str(run / "kto"), test_datasets=datasets)
    return run


def write_recipe(path: Path, **values: Any) -> None:
    # JSON is YAML
    path.write_text(json.dumps({**LLAMA_RECIPE, "adapter": "lora", "sequence_len": 512, **values}), encoding="utf-8")


def write_rows(path: Path) -> Path:
    prompt = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "ciao"}]
    completion = [{"role": "assistant", "content": "ehi"}]
    meta = {"id": "1", "group": "1", "source": "test"}
    path.parent.mkdir(parents=True)
    row = {"prompt": prompt, "completion": completion, "label": True, "meta": meta}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return path


def train(start: Path, stage: Path, config: LoraConfig, seed: int) -> Path:
    """Leave what a stage leaves: a random adapter for what was learned, the merged model, and what it was made from."""
    torch.manual_seed(seed)
    config.task_type = "CAUSAL_LM"
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(start), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    adapted.save_pretrained(stage)
    (stage / "inputs.json").write_text(json.dumps({"base_model": model_sha256(str(start))}))
    merged = stage / "merged"
    adapted.merge_and_unload().save_pretrained(merged)
    tokenizer = trained_tokenizer()
    tokenizer.save_pretrained(merged)
    (merged / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, tokenizer.eos_token_id]}))
    return merged


def with_adapter(base: str, adapter: Path) -> PeftModel:
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
