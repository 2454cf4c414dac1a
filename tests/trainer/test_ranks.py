"""Two processes over gloo on a CPU: one loss, one reference point and one order for both, and TRL's."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainers import small_tokenizer

pytestmark = pytest.mark.slow
RANKS = 2
MICRO_BATCH = 4
PAD = small_tokenizer().pad_token_id


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, Any]]]:
    """ranks("beside_trl", rows, kind): what each process wrote down; each task is done once."""

    @cache
    def start(*task: object) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp("ranks")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={RANKS}"]
        command += [str(Path(__file__).with_name("rank_worker.py")), str(folder), *map(str, task)]
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
        assert done.returncode == 0, done.stderr[-5000:]
        return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(RANKS)]

    return start


@pytest.mark.parametrize(("rows", "kind"), [(24, "lora"), (22, "lora"), (24, "full"), (24, "recipe")])
def test_two_processes_learn_and_say_what_they_do_under_trl(ranks: Callable, rows: int, kind: str) -> None:
    found = ranks("beside_trl", rows, kind)
    ours, theirs = ([rank[side] for rank in found] for side in ("ours", "trl"))
    assert ours[0]["weights"] == ours[1]["weights"], "the processes share their gradients"
    for name, expected in theirs[0]["weights"].items():
        torch.testing.assert_close(torch.tensor(ours[0]["weights"][name]), torch.tensor(expected), atol=1e-5, rtol=1e-3)
    assert len(theirs[0]["log"]) == len(ours[0]["log"]) == 4
    for line, trls in zip(ours[0]["log"][:-1], theirs[0]["log"][:-1], strict=True):
        assert set(line) == set(trls) >= {"loss", "kl", "rewards/margins", "logits/chosen", "entropy", "num_tokens"}
        for name, value in trls.items():
            assert line[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    assert any(line["kl"] > 0 for line in theirs[0]["log"][:-1])
    # Each process took its own half of every step's rows, the same as under TRL.
    for mine, trls in zip(ours, theirs, strict=True):
        assert [batch[0] for batch in mine["seen"]] == [batch[0] for batch in trls["seen"]]
    assert ours[0]["seen"] != ours[1]["seen"]


@pytest.mark.parametrize("rows", [24, 22])
def test_every_row_is_seen_once_an_epoch(ranks: Callable, rows: int) -> None:
    """Where the rows do not fill the last step, a process repeats rows of the first one, as Accelerate does."""
    found = ranks("beside_trl", rows, "lora")
    count = Counter(tuple(row) for rank in found for batch in rank["ours"]["seen"] for row in unpadded(batch))
    steps = -(-rows // (RANKS * MICRO_BATCH))
    assert len(count) == rows
    assert sum(count.values()) == steps * RANKS * MICRO_BATCH
    assert max(count.values()) == (1 if rows == 24 else 2)


def unpadded(batch: list) -> list[list[int]]:
    """The token ids of a micro-batch's rows, all different, without the padding."""
    return [[token for token in row if token != PAD] for row in batch[0]]


def test_a_run_of_two_processes_goes_on_in_the_second_epoch_as_if_it_had_not_been_killed(ranks: Callable) -> None:
    for rank in ranks("resumed"):
        whole, before, after = (rank[part]["seen"] for part in ("whole", "before", "after"))
        assert len(whole) == 6
        assert whole[:3] != whole[3:]
        assert before == whole[:5]
        assert after == whole[4:]
