"""What a training run writes down for whoever watches it."""

from pathlib import Path
from typing import Any

import orjson
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

METRICS = "metrics.jsonl"
TRAINER_STATE = "trainer_state.json"


class MetricsFile(TrainerCallback):
    """Appends each log of the trainer to `output_dir`/metrics.jsonl as it is made, with its step.

    At the end the trainer's whole history, resumed parts included, goes to `output_dir`/trainer_state.json.
    """

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if state.is_world_process_zero:
            line = {"step": state.global_step, "max_steps": state.max_steps, **(logs or {})}
            with (Path(args.output_dir) / METRICS).open("ab") as file:
                file.write(orjson.dumps(line, default=float, option=orjson.OPT_APPEND_NEWLINE))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            state.save_to_json(str(Path(args.output_dir) / TRAINER_STATE))
