"""How fast does a large vote log become a checked dataset? Beside the same steps in Hugging Face `datasets`.

    python benchmarks/prepare.py
    python benchmarks/prepare.py --quick --out found.json

A million generated votes (vote_rows.py), prepared by scripts/prepare_data.py and by datasets_prepare.py in turn, each
in a process of its own with nothing cached, until all files are written. The latter once with the library's default
for the rows that to_json writes at a time, and once with 10,000, which somebody finds who looks for what takes long.
The rows of all are compared. A side's memory is what all its processes hold at once beside the page cache. Redaction
and near duplicates are timed by themselves, on a tenth of the rows. Writes benchmarks/results/prepare.json.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from kto_recipes.cli import run

HERE = Path(__file__).parent
ROWS, QUICK_ROWS = 1_000_000, 20_000
TUNED = "datasets, tuned"
SIDES = ("ours", "datasets", TUNED)
FILES = [f"{kind}.{split}.jsonl" for kind in ("kto", "sft") for split in ("train", "eval")]
SEPARATELY = {
    "plain": {},
    "redact": {"redact": ["email", "phone", "card", "iban"], "phone_region": "IT"},
    "near_duplicates": {"near_duplicates": 0.8},
}
SAMPLED_EVERY_S = 0.2
PACKAGES = ("datasets", "pyarrow", "orjson", "numpy", "rensa", "phonenumbers")


def main(
    rows: Annotated[int, typer.Option(min=1000, help="How many votes.")] = ROWS,
    alternations: Annotated[int, typer.Option(min=1, help="How often each side.")] = 3,
    quick: Annotated[bool, typer.Option(help="Few rows once, to see that it works; needs --out.")] = False,
    out: Annotated[Path | None, typer.Option(help="The results file.")] = None,
) -> None:
    """Prepare generated votes with this project and with Hugging Face `datasets`, in turn."""
    from tempfile import TemporaryDirectory

    from environment import environment
    from vote_rows import write_votes

    from kto_recipes.errors import UserError
    from kto_recipes.files import write_json

    if quick and out is None:
        raise UserError("--quick says nothing about speed: name a file for its results with --out")
    rows, alternations = (QUICK_ROWS, 1) if quick else (rows, alternations)
    with TemporaryDirectory(prefix="prepare-") as folder:
        source = Path(folder) / "votes.jsonl"
        write_votes(source, rows)
        found = {**environment(PACKAGES), "rows": rows, "bytes": source.stat().st_size}
        found["runs"], found["same_rows"] = _in_turn(source, alternations)
        found["separately"] = _separately(source, rows // 10)
    found["rows_per_s"] = {side: _over([rows / it["seconds"] for it in found["runs"][side]]) for side in SIDES}
    found["ratio"], found["ratio_tuned"] = (_ratio(found["runs"], side) for side in ("datasets", TUNED))
    write_json(out or HERE / "results" / "prepare.json", found)
    _print(found)
    raise SystemExit(0 if found["same_rows"] else 1)


def _in_turn(source: Path, alternations: int) -> tuple[dict[str, list], bool]:
    """Seconds and memory of each side's runs, and whether both wrote the same rows."""
    runs: dict[str, list] = {side: [] for side in SIDES}
    folder = source.parent
    digests = {}
    for number in range(alternations):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            place = folder / side
            command = _ours(place, source, {}) if side == "ours" else _theirs(place, source, side == TUNED)
            runs[side].append(_timed(command))
            digests[side] = digests.get(side) or [_digest(place / name) for name in FILES]
            shutil.rmtree(place)
    return runs, digests["ours"] == digests["datasets"] == digests[TUNED]


def _separately(source: Path, rows: int) -> dict[str, Any]:
    """What redaction and near duplicates add, on the first `rows` votes."""
    folder = source.parent
    some = folder / "some.jsonl"
    with source.open("rb") as file, some.open("wb") as part:
        part.writelines(next(file) for _ in range(rows))
    found = {}
    for name, clean in SEPARATELY.items():
        timed = _timed(_ours(folder / name, some, clean))
        found[name] = {"rows": rows, **timed, "rows_per_s": rows / timed["seconds"]}
    return found


def _ours(place: Path, source: Path, clean: dict[str, Any]) -> list[str]:
    import yaml

    place.mkdir()
    # Under the name that both sides write as the rows' place; no copy is made.
    (place / "votes.jsonl").hardlink_to(source)
    settings = {"source": "votes.jsonl", "split": {"eval_at_most": None}, "clean": clean}
    (place / "dataset.yaml").write_text(yaml.safe_dump(settings))
    return [str(HERE.parent / "scripts" / "prepare_data.py"), str(place)]


def _theirs(place: Path, source: Path, is_tuned: bool) -> list[str]:
    place.mkdir()
    command = [str(HERE / "datasets_prepare.py"), str(source), str(place)]
    return [*command, "--json-batch", "10000"] if is_tuned else command


def _timed(command: list[str]) -> dict[str, float]:
    """Run a script of its own process; the seconds it took and the most memory of its processes together, in MiB."""
    from kto_recipes.errors import UserError

    start = time.perf_counter()
    most = 0.0
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
    )
    try:
        while process.poll() is None:
            most = max(most, _memory_mib(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLED_EVERY_S)
    finally:
        process.kill()  # where this one is interrupted; its own processes end with it
    seconds = time.perf_counter() - start
    if process.returncode:
        raise UserError(f"{Path(command[0]).name} failed: {process.stdout.read()[-2000:]}")
    return {"seconds": seconds, "peak_mib": most}


def _memory_mib(pid: int) -> float:
    """What a process and those it started hold in memory, without files that are only mapped."""
    import psutil

    total = 0.0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in processes:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
    return total / 1024


def _digest(path: Path) -> tuple[int, int]:
    """Equal for files with the same rows, in any order and with keys in any order."""
    import orjson
    from xxhash import xxh3_128_intdigest

    count = total = 0
    with path.open("rb") as file:
        for line in file:
            count += 1
            total += xxh3_128_intdigest(orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS))
    return count, total % 2**128


def _ratio(runs: dict[str, list], side: str) -> dict[str, float]:
    pairs = zip(runs[side], runs["ours"], strict=True)
    return _over([theirs["seconds"] / ours["seconds"] for theirs, ours in pairs])


def _over(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "low": min(values), "high": max(values)}


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "seconds", "rows/s", "peak memory, MiB")
    for side in SIDES:
        runs = found["runs"][side]
        seconds = ", ".join(f"{it['seconds']:.1f}" for it in runs)
        peak = max(it["peak_mib"] for it in runs)
        table.add_row(side, seconds, f"{found['rows_per_s'][side]['median']:,.0f}", f"{peak:,.0f}")
    for name, it in found["separately"].items():
        label = f"ours, {it['rows']:,} rows, {name.replace('_', ' ')}"
        table.add_row(label, f"{it['seconds']:.1f}", f"{it['rows_per_s']:,.0f}", f"{it['peak_mib']:,.0f}")
    Console().print(table)
    print("all wrote the same rows" if found["same_rows"] else "the rows differ")
    print(f"against tuned datasets {found['ratio_tuned']['median']:.1f} times")
    ratio = found["ratio"]
    print(
        f"{found['rows']:,} votes: {ratio['median']:.1f} ({ratio['low']:.1f}–{ratio['high']:.1f}) times the rows a "
        f"second of datasets; {found['command']}"
    )


if __name__ == "__main__":
    run(main)
