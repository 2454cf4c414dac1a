"""What a training run writes down for whoever watches it."""

import time
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

METRICS = "metrics.jsonl"
TRAINER_STATE = "trainer_state.json"


class MetricsFile(TrainerCallback):
    """Appends each log of the trainer to `output_dir`/metrics.jsonl as it is made, with its step and what it cost.

    `seconds` are since training began, in this process; `peak_gib` is the most that PyTorch had allocated on this
    process's GPU so far, in GiB. At the end the trainer's whole history, resumed parts included, goes to
    `output_dir`/trainer_state.json.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._peak = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if state.is_world_process_zero:
            line = {"step": state.global_step, "max_steps": state.max_steps, **(logs or {}), **self._cost(logs or {})}
            with (Path(args.output_dir) / METRICS).open("ab") as file:
                file.write(orjson.dumps(line, default=float, option=orjson.OPT_APPEND_NEWLINE))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            state.save_to_json(str(Path(args.output_dir) / TRAINER_STATE))

    def _cost(self, logs: dict[str, Any]) -> dict[str, float]:
        """The trainer has waited for the GPU by now: it logs the loss as a number."""
        if self._began is None:
            return {}
        cost = {"seconds": round(time.perf_counter() - self._began, 4)}
        if torch.cuda.is_available():
            # Axolotl's SFT trainer logs the peak since its last log and then sets PyTorch's counter back.
            since = max(torch.cuda.max_memory_allocated() / 2**30, logs.get("memory/max_allocated (GiB)", 0.0))
            self._peak = max(self._peak, since)
            cost["peak_gib"] = round(self._peak, 3)
        return cost
