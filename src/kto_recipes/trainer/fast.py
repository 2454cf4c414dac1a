"""TRL's KTOTrainer with the passes that are not needed left out."""

import inspect
import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
import trl
from accelerate.utils import broadcast_object_list, is_peft_model
from datasets import Dataset, IterableDataset, concatenate_datasets
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm
from transformers.integrations import is_deepspeed_zero3_enabled
from trl import KTOConfig, KTOTrainer
from trl.models.utils import disable_gradient_checkpointing, prepare_deepspeed
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference
from trl.trainer.utils import use_adapter

from kto_recipes.prepare.weights import suggest
from kto_recipes.trainer import order, reference
from kto_recipes.trainer.arrange import arranged, class_counts, refuse_bad_rows
from kto_recipes.trainer.fitting import (
    NO_KEYS,
    keep_trainable,
    layers_with_keys,
    refuse_moved_base,
    why_no_prefix,
    why_not_fused,
)
from kto_recipes.trainer.fused_lora import fuse_lora
from kto_recipes.trainer.logps import HeadCall
from kto_recipes.trainer.loss import apo_zero_unpaired_losses, kto_losses
from kto_recipes.trainer.metrics import BatchSums, KTOMetrics
from kto_recipes.trainer.scoring import Batch, score, score_both
from kto_recipes.trainer.settings import TrainerSettings

logger = logging.getLogger(__name__)
TRL_VERSION = "1.9.0"
# Everything overridden below is private to TRL: another version may call it otherwise, or not at all.
_OVERRIDDEN = {
    "_prepare_dataset": ("self", "dataset", "processing_class", "args", "dataset_name"),
    "_precompute_ref_logps": ("self", "dataset", "name", "batch_size"),
    "compute_ref_log_probs": ("self", "model", "inputs"),
    "_compute_loss": ("self", "model", "inputs", "return_outputs"),
    "_get_train_sampler": ("self", "train_dataset"),
    "log": ("self", "logs", "start_time"),
}


def check_signatures(trainer: type) -> None:
    """Stop where TRL's trainer is not the one that this was written for.

    Raises:
        ImportError: naming the version that is.
    """
    for name, expected in _OVERRIDDEN.items():
        method = getattr(trainer, name, None)
        found = tuple(inspect.signature(method).parameters) if method else None
        if found != expected:
            raise ImportError(
                f"kto_recipes.trainer is written for trl {TRL_VERSION}; in the installed trl {trl.__version__}, "
                f"KTOTrainer.{name} takes {found} in place of {expected}. Install trl=={TRL_VERSION}"
            )


check_signatures(KTOTrainer)


class FastKTO:
    """What is put before TRL's KTOTrainer, or before a subclass of it: see `FastKTOTrainer`."""

    settings = TrainerSettings()

    def __init__(
        self,
        model: Any,
        ref_model: Any = None,
        args: Any = None,
        *,
        settings: TrainerSettings | None = None,
        **kwargs: Any,
    ) -> None:
        if settings is not None:
            self.settings = settings
        args = args or KTOConfig("kto-output")
        if args.use_liger_kernel:
            raise ValueError(
                "use_liger_kernel: TRL 1.9.0 drops both class weights there and, with an adapter, the reference; "
                "leave it off, fused_logps does what it is for"
            )
        if ref_model is None:
            refuse_moved_base([kwargs.get("peft_config"), *getattr(model, "peft_config", {}).values()])
        args.precompute_ref_log_probs = self.settings.precompute_ref
        self._leaves_no_keys = False
        self._said: set[tuple[str, str]] = set()  # what was said not to hold
        self._kept = KTOMetrics()
        self._inner_of: WeakKeyDictionary[nn.Module, ref[nn.Module]] = WeakKeyDictionary()
        super().__init__(model, ref_model, args, **kwargs)
        self._prepare_layers()
        if self.settings.auto_weights:
            self._set_weights()

    def _prepare_layers(self) -> None:
        """Before the first pass, which TRL may make while it sets up: a reference must round as the policy does."""
        keep_trainable(self.model)
        if self.settings.fused_lora:
            fuse_lora(self.model)

    # --- the data: which rows meet ------------------------------------------------------------------------

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        """TRL's tokens, then our order and our mismatched pairs, for the batch size of this split."""
        if isinstance(dataset, IterableDataset):
            logger.warning("%s is a stream: its rows keep their order, and TRL pairs them", dataset_name)
            return super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        if "KL_completion_ids" in dataset.column_names:
            return dataset  # arranged already
        tokens = dataset
        if "completion_ids" not in dataset.column_names:
            refuse_bad_rows(dataset, dataset_name)
            with_pairs, self.calculate_KL = self.calculate_KL, False
            try:
                tokens = super()._prepare_dataset(dataset, processing_class, args, dataset_name)
            finally:
                self.calculate_KL = with_pairs
        elif args.max_length is not None:  # TRL leaves these out only where it makes the tokens
            tokens = dataset.filter(lambda prompt: len(prompt) < args.max_length, input_columns="prompt_ids")
        if len(tokens) < len(dataset):
            logger.warning(
                "%s: %d of %d rows are left out: their prompt alone fills max_length %d",
                dataset_name,
                len(dataset) - len(tokens),
                len(dataset),
                args.max_length,
            )
        is_train = dataset_name == "train"
        batch_size = args.per_device_train_batch_size if is_train else args.per_device_eval_batch_size
        return arranged(
            tokens,
            dataset_name,
            batch_size,
            in_buckets=self.settings.length_buckets,
            with_pairs=self.calculate_KL,
            both_classes=is_train,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if not self.settings.length_buckets or not isinstance(dataset, Dataset):
            return super()._get_train_sampler(train_dataset)
        # Ranks take neighbouring blocks, which are alike in length, so that none waits for another's long rows.
        block = self.args.per_device_train_batch_size * self.accelerator.num_processes
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        shuffle = order.BlockShuffle(len(dataset), block, seed)
        self.add_callback(order.EpochOfShuffle(shuffle))
        return shuffle

    def _set_weights(self) -> None:
        if not isinstance(self.train_dataset, Dataset):
            raise ValueError("auto_weights: the labels of a stream cannot be counted; set both weights yourself")
        weights = suggest(*class_counts(self.train_dataset))
        self.desirable_weight, self.undesirable_weight = weights["desirable"], weights["undesirable"]
        logger.warning(
            "auto_weights: %(n_desirable)d desirable × %(desirable)g : %(n_undesirable)d undesirable × "
            "%(undesirable)g = %(ratio)g, within 1 … 4/3",
            weights,
        )

    # --- the reference: once ------------------------------------------------------------------------------

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """`dataset` with the columns `ref_logps` and `ref_KL_logps`, from the cache where it has them."""
        if isinstance(dataset, IterableDataset):
            raise ValueError("precompute_ref: a stream has no rows to keep values for; set precompute_ref: false")
        key = self._cache_key(dataset)
        folder = self.settings.ref_cache_dir
        path = reference.cache_file(folder, key) if folder else None
        values = reference.read_cache(path, key, len(dataset)) if path else None
        if values is None:
            values = self._computed_reference(dataset, name, batch_size)
            if path and self.accelerator.is_main_process:
                _keep(path, key, values)
        else:
            logger.warning("reference log-probabilities of %s: taken from %s", name, path)
        self.accelerator.wait_for_everyone()
        columns = Dataset.from_dict({column: value.numpy() for column, value in values.items()})
        return concatenate_datasets([dataset, columns], axis=1)

    def _cache_key(self, dataset: Dataset) -> dict[str, Any]:
        columns = ["prompt_ids", "completion_ids", *(["KL_completion_ids"] if self.calculate_KL else [])]
        model = self.ref_model or self.model
        key = {
            "weights": reference.weights_key(model),
            "config": reference.config_key(self._inner(model).config),
            "rows": reference.rows_key(dataset, columns),
            "max_length": self.args.max_length,
            "autocast": str(self.accelerator.mixed_precision),
            # what rounds otherwise: with a frozen adapter in the reference, and the mismatched completions
            "fused_lora": self.settings.fused_lora,
            "prefix_kl": self.settings.prefix_kl,
        }
        shared = [key]
        broadcast_object_list(shared, from_process=0)  # with ZeRO-3 each rank sees its own shard of the weights
        return shared[0]

    def _computed_reference(self, dataset: Dataset, name: str, batch_size: int) -> dict[str, Tensor]:
        loader = self.accelerator.prepare(
            DataLoader(dataset, batch_size=batch_size, collate_fn=self.data_collator, shuffle=False)
        )
        model = self.ref_model or self.model
        if self.ref_model is None and self.is_deepspeed_enabled:
            if self._precompute_engine is None:
                self._precompute_engine = prepare_deepspeed(self.model, self.accelerator)
            model = self._precompute_engine
        self._prepare_layers()
        model.eval()
        found: dict[str, list[Tensor]] = {"ref_logps": [], "ref_KL_logps": []}
        bar = tqdm(loader, desc=f"reference log-probabilities, {name}", disable=not self.accelerator.is_main_process)
        for batch in bar:
            with self.accelerator.autocast():  # as in training, where the prepared model does this
                values = self.compute_ref_log_probs(model, batch)
            for column, value in zip(found, values, strict=True):
                if value is not None:
                    found[column].append(self.accelerator.gather_for_metrics(value).float().cpu())
        return {column: torch.cat(values) for column, values in found.items() if values}

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of the completions and of the mismatched ones under the reference, [batch] each."""
        if not self._is_fused(model):
            return super().compute_ref_log_probs(model, inputs)
        unwrapped = self._inner(self.model)
        is_adapter = self.ref_model is None and is_peft_model(self.model)
        name = "ref" if is_adapter and "ref" in unwrapped.peft_config else None
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs),
            use_adapter(unwrapped, adapter_name=name) if is_adapter else nullcontext(),
        ):
            logps, kl_logps, _ = self._scored(model, inputs)
        return logps, kl_logps

    # --- the loss -----------------------------------------------------------------------------------------

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False) -> Any:
        """The loss of a micro-batch, a scalar; TRL's own way where outputs are asked for or nothing can be fused."""
        if return_outputs or not self._is_fused(model):
            return super()._compute_loss(model, inputs, return_outputs)
        batch = {key: value.to(self.accelerator.device) for key, value in inputs.items()}
        logps, kl_logps, call = self._scored(model, batch)
        if self.precompute_ref_logps:
            ref_logps, ref_kl_logps = batch["ref_logps"], batch.get("ref_KL_logps")
        else:
            ref_logps, ref_kl_logps = self.compute_ref_log_probs(self.ref_model or self.model, batch)
        weights = {"desirable_weight": self.desirable_weight, "undesirable_weight": self.undesirable_weight}
        if kl_logps is None:
            z0 = torch.zeros((), device=logps.device)
            losses = apo_zero_unpaired_losses(logps, ref_logps, batch["label"], beta=self.beta, **weights)
        else:
            # the ranks share one reference point, as in TRL: the mean of their means
            z0 = self.accelerator.gather((kl_logps - ref_kl_logps).mean()[None]).mean().clamp(min=0)
            losses = kto_losses(logps, ref_logps, batch["label"], z0, beta=self.beta, **weights)
        mode = "train" if self.model.training else "eval"
        self._kept.add(mode, BatchSums.of(batch, logps.detach(), ref_logps, call, self.beta), z0, self.accelerator)
        return losses.mean()

    def _scored(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor | None, HeadCall]:
        """log π(y|x) and, where there is a reference point, log π(y'|x) of the mismatched completions; [batch] each."""
        head, with_entropy, logps, kl_logps = self._head(model), self.settings.log_entropy, None, None
        if self.calculate_KL and self.settings.prefix_kl and self._can_share_prompts(model):
            layers = layers_with_keys(self._config(model))
            logps, kl_logps, call = score_both(model, head, batch, layers, with_entropy=with_entropy)
            self._leaves_no_keys = kl_logps is None
        if self.calculate_KL and kl_logps is None:
            with torch.no_grad():
                kl_logps = score(model, head, batch, "KL_")[0]
        if logps is None:
            logps, call = score(model, head, batch, with_entropy=with_entropy)
        return logps, kl_logps, call

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode = "train" if self.model.training else "eval"
        values, tokens = self._kept.taken(mode, self.settings.log_entropy)
        if values:
            if mode == "train":
                self._total_train_tokens += tokens
            self._metrics[mode].update({**values, "num_tokens": [self._total_train_tokens]})
        super().log(logs, start_time)

    def _head(self, model: Any) -> nn.Linear | None:
        return self._inner(model).get_output_embeddings()

    def _is_fused(self, model: Any) -> bool:
        if not self.settings.fused_logps:
            return False
        if self.args.n_gpu > 1:
            reason = "DataParallel splits batches behind the trainer's back; start one process a GPU"
        elif self._is_vision_dataset:
            reason = "the rows have images"
        elif self.aux_loss_enabled:
            reason = "the experts' balance loss needs the router's logits"
        elif type(self.data_collator) is not DataCollatorForUnpairedPreference:
            reason = f"{type(self.data_collator).__name__} may pad on the left"
        else:
            reason = why_not_fused(self._head(model), self._config(model))
        return self._is_used("fused_logps", reason, "TRL's own log-probabilities are")

    def _can_share_prompts(self, model: Any) -> bool:
        if is_deepspeed_zero3_enabled():
            reason = "after a pass without gradient ZeRO-3 would keep layers whole through the backward pass"
        elif self._leaves_no_keys:
            reason = NO_KEYS
        else:
            adapters = getattr(self._inner(model), "peft_config", {}).values()
            reason = why_no_prefix(self._config(model), adapters)
        return self._is_used("prefix_kl", reason, "each pass runs the prompts itself")

    def _is_used(self, setting: str, reason: str | None, instead: str) -> bool:
        """Whether there is no reason against a setting; one is said in one line, once."""
        if reason and (setting, reason) not in self._said:
            logger.warning("%s is not used: %s; %s", setting, reason, instead)
            self._said.add((setting, reason))
        return reason is None

    def _config(self, model: Any) -> Any:
        return self._inner(model).config.get_text_config()

    def _inner(self, model: Any) -> Any:
        """The model inside of what wraps it, not kept alive here; accelerate takes 3 ms to find it among 32 layers."""
        inner = self._inner_of[model]() if model in self._inner_of else None
        if inner is None:
            inner = self.accelerator.unwrap_model(model)
            self._inner_of[model] = ref(inner)
        return inner


class FastKTOTrainer(FastKTO, KTOTrainer):
    """TRL's KTOTrainer, several times faster: takes what it takes, and `settings`."""


def _keep(path: Path, key: dict[str, Any], values: dict[str, Tensor]) -> None:
    try:
        reference.write_cache(path, key, values)
    except OSError as error:
        logger.warning("reference log-probabilities are not kept: %s; the next run computes them again", error)
