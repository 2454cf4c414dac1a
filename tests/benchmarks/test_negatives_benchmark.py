"""The benchmark of the negatives measures every strategy, and says what it found."""

import json
from pathlib import Path

import pytest
from benchmark_runs import start


@pytest.mark.slow
def test_it_measures_batches_against_single_prompts_memory_and_every_strategy(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = start("negatives.py", tmp_path, "--quick", "--repeats", "2", "--out", str(out))
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(out.read_text(encoding="utf-8"))
    speed = found["tokens_per_cpu_s"]
    assert set(speed) == {"batched", "one by one"}
    times = [many / one for many, one in zip(speed["batched"], speed["one by one"], strict=True)]
    assert len(times) == 2
    assert (found["times_faster"]["low"], found["times_faster"]["high"]) == (min(times), max(times))
    for less, more in found["memory"]:
        assert more["prompts"] == more["answers"] == 8 * less["prompts"] == 8 * less["answers"]
        assert min(less["highest"], more["highest"]) > 2**26
    assert set(found["rows_per_cpu_s"]) == {"corrupt", "template", "paraphrase"}
    assert all(0 < figure["low"] <= figure["median"] for figure in found["rows_per_cpu_s"].values())
    assert found["contaminate"]["index_s"]["low"] > 0
    assert found["contaminate"]["rows_per_s"]["low"] > 0
    assert found["machine"]["threads"] == 1
    assert done.stdout.splitlines()[-1].endswith(found["command"])
    assert f"batched sampling is {found['times_faster']['median']:.1f} (" in done.stdout
