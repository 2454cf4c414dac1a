"""The checks of a recipe: each finds its trap, and finds nothing in a recipe without it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kto_recipes.errors import UserError
from kto_recipes.recipe import problems, refuse_problems

# A recipe with none of the traps: every key here is in Axolotl's schema and does what it says.
KTO: dict[str, Any] = {
    "base_model": "outputs/run/sft/merged",
    "datasets": [{"path": "kto.train.jsonl", "type": "kto_recipes.chat_template", "split": "train"}],
    "test_datasets": [{"path": "kto.eval.jsonl", "type": "kto_recipes.chat_template", "split": "train"}],
    "output_dir": "outputs/run/kto",
    "rl": "kto",
    "adapter": "lora",
    "kto_desirable_weight": 1.0,
    "plugins": ["kto_recipes.plugin.KTOPlugin"],
    "special_tokens": {"eos_token": "<|eot_id|>"},
    "remove_unused_columns": False,
    "micro_batch_size": 8,
    "eval_batch_size": 8,
    "learning_rate": 5e-6,
    "dataset_num_proc": 1,
    "shuffle_merged_datasets": False,
}
SFT: dict[str, Any] = {
    "base_model": "some/model",
    "datasets": [{"path": "sft.train.jsonl", "type": "chat_template", "roles_to_train": ["assistant"]}],
    "output_dir": "outputs/run/sft",
    "learning_rate": 0.003,
    "micro_batch_size": 1,
    "lora_model_dir": "elsewhere",
}
ABSENT = object()


def kto_type(kind: Any) -> dict[str, Any]:
    return {"datasets": [{"path": "rows.jsonl", "type": kind, "split": "train"}]}


TRAPS = {
    "a micro-batch of one row has no mismatched pair": (
        "micro_batch_size",
        {"micro_batch_size": 1, "eval_batch_size": 1},
    ),
    "Axolotl's default micro-batch is one row": (
        "micro_batch_size",
        {"micro_batch_size": ABSENT, "eval_batch_size": ABSENT},
    ),
    "a blank micro-batch is the default": ("micro_batch_size", {"micro_batch_size": None, "eval_batch_size": None}),
    "several processes break the pairs": ("dataset_num_proc", {"dataset_num_proc": 2}),
    "Axolotl's default is several processes": ("dataset_num_proc", {"dataset_num_proc": ABSENT}),
    "shuffling undoes the file's order": ("shuffle_merged_datasets", {"shuffle_merged_datasets": True}),
    "Axolotl's default is to shuffle": ("shuffle_merged_datasets", {"shuffle_merged_datasets": ABSENT}),
    "another eval batch breaks the eval pairs": ("eval_batch_size", {"eval_batch_size": 4}),
    "Axolotl's default eval batch is another": ("eval_batch_size", {"eval_batch_size": ABSENT}),
    "KTO ignores an adapter to start from": ("lora_model_dir", {"lora_model_dir": "outputs/run/sft"}),
    "TRL's precomputation is DPO's alone in Axolotl": ("precompute_ref_log_probs", {"precompute_ref_log_probs": True}),
    "padding-free batches are DPO's alone": ("dpo_padding_free", {"dpo_padding_free": True}),
    "KTO's order is the file's, not by length": ("group_by_length", {"group_by_length": True}),
    "a share of rows splits prompts": ("val_set_size", {"val_set_size": 0.1}),
    "evaluation without a held-out file is none": (
        "evals_per_epoch",
        {"evals_per_epoch": 2, "test_datasets": ABSENT, "eval_batch_size": ABSENT},
    ),
    "full weights load three models unless the reference is computed before": (
        "adapter",
        {"adapter": ABSENT, "kto": {"precompute_ref": False}},
    ),
    "a rate of 5e-4 collapses": ("learning_rate", {"learning_rate": 5e-4}),
    "a rate of 1e-8 learns nothing": ("learning_rate", {"learning_rate": 1e-8}),
    "YAML reads 5e-4 as text": ("learning_rate", {"learning_rate": "5e-4"}),
    "Axolotl refuses KTO without its columns": ("remove_unused_columns", {"remove_unused_columns": ABSENT}),
    "Axolotl refuses KTO that drops its columns": ("remove_unused_columns", {"remove_unused_columns": True}),
    "KTO does not pack": ("sample_packing", {"sample_packing": True}),
    "the fused KTO loss has no reference": (
        "liger",
        {"plugins": ["kto_recipes.plugin.KTOPlugin", "axolotl.integrations.liger.LigerPlugin"]},
    ),
    "PiSSA takes its part out of the reference": ("init_lora_weights", {"peft_init_lora_weights": "pissa_niter_16"}),
    "LoftQ puts an error into the reference": ("init_lora_weights", {"peft": {"loftq_config": {"loftq_bits": 4}}}),
    "4-bit weights and FSDP do not go together": (
        "fsdp",
        {"load_in_4bit": True, "fsdp_version": 2, "fsdp_config": {"reshard_after_forward": True}},
    ),
    "8-bit weights and FSDP do not, either": ("fsdp", {"load_in_8bit": True, "fsdp": ["full_shard"]}),
    "TRL appends the base model's end of text": ("eos_token", {"chat_template": "llama3", "special_tokens": ABSENT}),
    "a pad_token alone does not help": (
        "eos_token",
        {"chat_template": "llama3", "special_tokens": {"pad_token": "<|finetune_right_pad_id|>"}},
    ),
    "Axolotl's Llama strategies render one turn": ("type", kto_type("llama3.argilla")),
    "its ChatML strategies, too": ("type", kto_type("chatml.prompt_pairs")),
    "a format of {prompt} is no template": ("type", kto_type({"field_prompt": "q", "prompt_format": "{prompt}"})),
    "a format left out is {prompt}": ("type", kto_type({"field_prompt": "question"})),
    "a type of {prompt} is no template": ("type", kto_type("{prompt}")),
}


def written(folder: Path, recipe: dict[str, Any], **changes: Any) -> Path:
    recipe = {key: value for key, value in {**recipe, **changes}.items() if value is not ABSENT}
    path = folder / "kto.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def checks_of(path: Path) -> list[str]:
    return [problem.check for problem in problems(path)]


def test_a_recipe_without_traps_has_no_problems(tmp_path: Path) -> None:
    assert problems(written(tmp_path, KTO)) == []
    assert problems(written(tmp_path, SFT)) == []


@pytest.mark.parametrize(("check", "changes"), TRAPS.values(), ids=TRAPS)
def test_a_recipe_with_the_trap_has_just_that_problem(tmp_path: Path, check: str, changes: dict[str, Any]) -> None:
    assert checks_of(written(tmp_path, KTO, **changes)) == [check]


@pytest.mark.parametrize(("check", "changes"), TRAPS.values(), ids=TRAPS)
def test_a_trap_is_accepted_by_its_name_and_by_no_other(tmp_path: Path, check: str, changes: dict[str, Any]) -> None:
    settings = changes.get("kto", {})
    accepting, other = ({**changes, "kto": {**settings, "allow": [name]}} for name in (check, f"not_{check}"))
    assert problems(written(tmp_path, KTO, **accepting)) == []
    assert checks_of(written(tmp_path, KTO, **other)) == [check]


@pytest.mark.parametrize(("check", "changes"), TRAPS.values(), ids=TRAPS)
def test_the_traps_of_kto_are_none_for_sft(tmp_path: Path, check: str, changes: dict[str, Any]) -> None:
    without_settings = {key: value for key, value in changes.items() if key != "kto"}  # the plugin's, absent here
    assert problems(written(tmp_path, SFT, **without_settings)) == []


def test_full_weights_are_no_trap_where_the_plugin_computes_the_reference_before(tmp_path: Path) -> None:
    assert problems(written(tmp_path, KTO, adapter=ABSENT)) == []


@pytest.mark.parametrize("key", ["kto_desirable_weight", "kto_undesirable_weight"])
def test_a_weight_of_0_is_a_trap_without_the_plugin_and_respected_with_it(tmp_path: Path, key: str) -> None:
    assert checks_of(written(tmp_path, KTO, **{key: 0}, plugins=ABSENT)) == [key]
    assert checks_of(written(tmp_path, KTO, **{key: 0})) == []


def test_automatic_weights_beside_explicit_ones_are_a_problem(tmp_path: Path) -> None:
    settings = {"kto": {"auto_weights": True}}
    assert checks_of(written(tmp_path, KTO, **settings)) == ["auto_weights"]
    assert checks_of(written(tmp_path, KTO, **settings, kto_desirable_weight=ABSENT)) == []


BF16_WEIGHTS: dict[str, Any] = {"adapter": ABSENT, "bf16": True, "optimizer": "adamw_torch_fused"}


@pytest.mark.parametrize("recipe", [SFT, KTO], ids=["sft", "kto"])
def test_full_weights_in_bf16_alone_lose_their_updates(tmp_path: Path, recipe: dict[str, Any]) -> None:
    assert checks_of(written(tmp_path, recipe, **BF16_WEIGHTS)) == ["optimizer"]


@pytest.mark.parametrize(
    "remedy",
    [
        {"optimizer": "adamw_torch_8bit", "optim_args": "bf16_stochastic_round=True"},
        {"optimizer": "optimi_adamw"},
        {"deepspeed": "zero3.json"},
        {"bf16": False},
        {"adapter": "lora"},
    ],
    ids=lambda remedy: next(iter(remedy.values())),
)
def test_full_weights_keep_their_updates_in_each_of_these_ways(tmp_path: Path, remedy: dict[str, Any]) -> None:
    assert checks_of(written(tmp_path, KTO, **(BF16_WEIGHTS | remedy))) == []


def test_two_traps_are_two_problems(tmp_path: Path) -> None:
    path = written(tmp_path, KTO, dataset_num_proc=4, lora_model_dir="x")
    assert sorted(checks_of(path)) == ["dataset_num_proc", "lora_model_dir"]


@pytest.mark.parametrize("rate", [5e-7, 5e-6, 2e-5, "5e-7", "2e-5"])
def test_rates_from_5e_7_to_2e_5_are_no_problem(tmp_path: Path, rate: float | str) -> None:
    assert problems(written(tmp_path, KTO, learning_rate=rate)) == []


def test_without_an_eval_set_no_eval_batch_is_asked_for(tmp_path: Path) -> None:
    assert problems(written(tmp_path, KTO, test_datasets=ABSENT, eval_batch_size=ABSENT)) == []


def test_an_adapter_folder_as_base_model_is_a_problem_and_a_merged_one_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "sft"
    folder.mkdir()
    path = written(tmp_path, KTO, base_model=str(folder))
    assert problems(path) == []
    (folder / "adapter_config.json").write_text("{}")
    assert checks_of(path) == ["base_model"]


# --- lines copied from elsewhere -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        kto_type("llama3.argilla_chat"),  # renders every turn
        kto_type({"prompt_format": "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"}),
        {"chat_template": "tokenizer_default", "special_tokens": {"pad_token": "<|endoftext|>"}},
        {"chat_template": "llama3"},
        {"sample_packing": False, "load_in_4bit": True},
        {"fsdp_version": 2, "fsdp_config": {"reshard_after_forward": True}},
        {"plugins": ["kto_recipes.plugin.KTOPlugin", "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"]},
    ],
)
def test_what_resembles_a_copied_trap_and_is_none_is_no_problem(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert problems(written(tmp_path, KTO, **changes)) == []


@pytest.mark.parametrize("key", ["use_liger_kernel", "liger_rope", "dpo_use_liger_kernel"])
def test_a_key_of_liger_is_a_trap_for_kto_whether_or_not_axolotl_knows_it(tmp_path: Path, key: str) -> None:
    assert "liger" in checks_of(written(tmp_path, KTO, **{key: True}))
    assert "liger" not in checks_of(written(tmp_path, KTO, **{key: False}))
    assert "liger" not in checks_of(written(tmp_path, SFT, **{key: True}))


def test_a_format_beside_the_type_as_tutorials_write_it_is_told_apart_from_a_misspelt_key(tmp_path: Path) -> None:
    entry = {"path": "x.jsonl", "type": "user_defined.default", "prompt_format": "{prompt}"}
    found = problems(written(tmp_path, KTO, datasets=[entry]))
    assert "type" in [problem.check for problem in found]
    (sentence,) = [problem.message for problem in found if problem.check == "type"]
    assert "drops the system prompt" in sentence
    assert "kto_recipes.chat_template" in sentence


def test_the_entry_of_a_trap_is_named(tmp_path: Path) -> None:
    good = {"path": "kto.train.jsonl", "type": "kto_recipes.chat_template"}
    (problem,) = problems(written(tmp_path, KTO, test_datasets=[good, {"path": "x.jsonl", "type": "llama3.ultra"}]))
    assert problem.message.startswith("test_datasets[1].type llama3.ultra ")


@pytest.mark.parametrize("recipe", [KTO, SFT])
@pytest.mark.parametrize("key", ["datasets", "test_datasets"])
def test_files_without_a_path_get_a_sentence_of_their_own(tmp_path: Path, recipe: dict[str, Any], key: str) -> None:
    entry = {"ds_type": "json", "data_files": ["kto.jsonl"], "split": "train"}
    found = problems(written(tmp_path, recipe, **{key: [entry]}))
    (sentence,) = [problem.message for problem in found if problem.check == "shape"]
    assert "data_files and no path" in sentence
    assert "- path: data.jsonl" in sentence


def test_kto_pair_is_gone_and_cannot_be_accepted(tmp_path: Path) -> None:
    (problem,) = problems(written(tmp_path, KTO, rl="kto_pair", kto={"allow": ["rl"]}))
    assert problem.check == "rl"
    assert "use rl: kto" in problem.message


@pytest.mark.parametrize("name", ["kto.train.jsonl", "kto.jsonl", "outputs/run/data/kto.eval.jsonl"])
def test_an_sft_recipe_does_not_learn_labelled_answers(tmp_path: Path, name: str) -> None:
    entry = {"path": name, "type": "chat_template"}
    assert checks_of(written(tmp_path, SFT, datasets=[entry])) == ["sft_data"]
    assert checks_of(written(tmp_path, SFT, test_datasets=[entry])) == ["sft_data"]
    assert problems(written(tmp_path, KTO, datasets=[entry | {"type": "kto_recipes.chat_template"}])) == []


@pytest.mark.parametrize("name", ["sft.train.jsonl", "kto/sft.jsonl", "kto-chats.jsonl", "org/kto.name"])
def test_an_sft_recipe_learns_from_any_other_file(tmp_path: Path, name: str) -> None:
    assert problems(written(tmp_path, SFT, datasets=[{"path": name, "type": "chat_template"}])) == []


# --- keys Axolotl would drop --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "changes", "place", "nearest"),
    [
        (KTO, {"kto_desireable_weight": 0.3}, "kto_desireable_weight", "kto_desirable_weight"),
        (KTO, {"rl_betta": 0.1}, "rl_betta", "rl_beta"),
        (SFT, {"context_parapllel_size": 2}, "context_parapllel_size", "context_parallel_size"),
        (KTO, {"special_tokens": {"eos_tokn": "x"}}, "special_tokens.eos_tokn", "eos_token"),
        (SFT, {"lr_groups": [{"names": "x", "modules": [], "lr": 1.0}]}, "lr_groups.names", "name"),
        (KTO, {"kto": {"alow": ["learning_rate"]}}, "kto.alow", "allow"),
        (
            SFT,
            {"datasets": [{"path": "x"}, {"path": "y", "roles_to_trian": []}]},
            "datasets[1].roles_to_trian",
            "roles_to_train",
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest_known_one(
    tmp_path: Path, recipe: dict[str, Any], changes: dict[str, Any], place: str, nearest: str
) -> None:
    (problem,) = problems(written(tmp_path, recipe, **changes))
    assert problem.check == "unknown_key"
    assert f"does not know {place} " in problem.message
    assert problem.message.endswith(f"did you mean {nearest}?")


def test_an_unknown_key_that_is_near_nothing_should_be_deleted(tmp_path: Path) -> None:
    (problem,) = problems(written(tmp_path, KTO, zzzzzz=1))
    assert "does not know zzzzzz " in problem.message
    assert problem.message.endswith("delete it")


@pytest.mark.parametrize("kind", ["datasets", "test_datasets"])
@pytest.mark.parametrize("key", ["ds_type", "name", "roles_to_train", "field_messages", "shards"])
def test_a_dataset_key_that_only_kto_drops_is_a_problem_for_kto_alone(tmp_path: Path, kind: str, key: str) -> None:
    entry = {"path": "x.jsonl", "type": "kto_recipes.chat_template", key: "x"}
    (problem,) = problems(written(tmp_path, KTO, **{kind: [entry]}))
    assert f"{kind}[0].{key} " in problem.message
    assert problems(written(tmp_path, SFT, **{kind: [entry]})) == []


def test_the_block_kto_is_unknown_without_the_plugin(tmp_path: Path) -> None:
    (problem,) = problems(written(tmp_path, KTO, plugins=ABSENT, kto={"allow": []}))
    assert "does not know kto " in problem.message


def test_an_unknown_key_cannot_be_accepted(tmp_path: Path) -> None:
    assert checks_of(written(tmp_path, KTO, zzzzzz=1, kto={"allow": ["unknown_key", "zzzzzz"]})) == ["unknown_key"]


@pytest.mark.parametrize(
    "changes",
    [
        {"datasets": "kto.jsonl"},
        {"datasets": ["kto.jsonl"]},
        {"datasets": [{"type": "chat_template"}]},
        {"test_datasets": 3, "eval_batch_size": 8},
        {"kto": ["learning_rate"]},
        {"kto": {"allow": "learning_rate"}},
    ],
)
def test_a_value_of_the_wrong_shape_is_a_problem_and_no_traceback(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert checks_of(written(tmp_path, KTO, **changes)) == ["shape"]


# --- refusing -----------------------------------------------------------------------------------------------


def test_refusing_says_each_problem_on_a_line_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, KTO, zzzzzz=1, dataset_num_proc=8)
    with pytest.raises(UserError) as caught:
        refuse_problems(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.strip().startswith(f"{path}: ") for line in lines)


def test_nothing_is_refused_where_nothing_is_wrong(tmp_path: Path) -> None:
    refuse_problems(written(tmp_path, KTO))


def test_checking_a_recipe_imports_neither_torch_nor_axolotl(tmp_path: Path) -> None:
    path = written(tmp_path, KTO, kto_desireable_weight=0.3)
    program = (
        "import sys; from pathlib import Path; from kto_recipes.recipe import problems, recipe_header\n"
        "assert problems(Path(sys.argv[1])), 'the checks did not run'\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    loaded = result.stdout.split()
    assert "kto_recipes" in loaded
    assert {"torch", "axolotl", "transformers", "trl", "datasets"}.isdisjoint(loaded)
