"""The benchmark of the evaluation compares both ways, times them in turn, and says what it found."""

import json
from pathlib import Path

import pytest
from benchmark_runs import start

PARTS = {"matched", "mismatched", "greedy", "sampled", "scored"}


@pytest.mark.slow
def test_it_evaluates_the_rows_three_times_in_batches_and_a_part_of_them_one_by_one(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = start("evaluation.py", tmp_path, "--quick", "--out", str(out))
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["rows"], found["prompts"]) == (40, 20)
    for side, rows in (("batched", 40), ("one by one", 8)):
        assert [it["rows"] for it in found["runs"][side]] == [rows] * 3
        for it, rate in zip(found["runs"][side], found["rows_per_cpu_s"][side], strict=True):
            assert set(it["seconds"]) == PARTS
            assert rate == pytest.approx(rows / sum(it["seconds"].values()))
            # two samples to each of half as many prompts, of one to 64 tokens
            assert rows <= it["tokens_sampled"] <= 64 * rows
    times = [many / one for many, one in zip(*found["rows_per_cpu_s"].values(), strict=True)]
    assert (found["times_faster"]["low"], found["times_faster"]["high"]) == (min(times), max(times))
    assert 0 <= found["difference"] <= 1e-3
    assert found["machine"]["threads"] == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"40 held-out rows are evaluated three times at {found['times_faster']['median']:.1f} (")
    assert last.endswith(found["command"])
