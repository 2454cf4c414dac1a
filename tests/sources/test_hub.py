"""Data sets of the Hub: folders laid out like one, read by the same library, and a server for what goes wrong."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_files import damaged
from http_server import in_a_thread
from hypothesis import HealthCheck, given, settings
from small_hub import TOKEN, Hub, HubAnswer, hub_environment
from training_rows import answers, counts, stop, turns, write_lines

from kto_recipes.errors import UserError
from kto_recipes.sources import hub
from kto_recipes.sources.hub import HubSource
from kto_recipes.sources.records import ReadOptions, Record

REPO = Path(__file__).parents[2]
VOTES = [
    {"prompt": turns("2+2?"), "completion": turns("2+2?", "4")[1:], "label": True},
    {"prompt": turns("2+2?"), "completion": turns("2+2?", "5")[1:], "label": False},
]
PROGRAM = """
import sys
from kto_recipes.errors import UserError
from kto_recipes.sources import hub
from kto_recipes.sources.records import ReadOptions
options = ReadOptions()
try:
    print(f"read: {len(list(hub.read(sys.argv[1], options)))} records at {options.seen.commit}")
except UserError as error:
    print("refused:", error)
"""


def read(source: str | Path, **options: Any) -> list[Record]:
    return list(hub.read(source, ReadOptions(**{"on_trouble": stop} | options)))


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:owner/name", HubSource("owner/name")),
        ("hf:name", HubSource("name")),
        ("hf:owner/name@v1.0", HubSource("owner/name", "v1.0")),
        ("hf:owner/name@refs/convert/parquet", HubSource("owner/name", "refs/convert/parquet")),
        ("hf:owner/name#train", HubSource("owner/name", split="train")),
        ("hf:owner/name@abc#en/test", HubSource("owner/name", "abc", "en", "test")),
        ("hf:owner/name#en/", HubSource("owner/name", config="en")),
        ("folder", HubSource("folder")),
        ("folder#test", HubSource("folder", split="test")),
    ],
)
def test_a_source_names_a_data_set_its_revision_config_and_split(source, expected):
    assert hub.parse(source) == expected


@pytest.mark.parametrize("source", ["hf:", "hf:a/b/c", "hf:a b", "hf:owner/name@", "hf:https://huggingface.co/a/b"])
def test_what_is_no_name_is_refused_with_how_to_write_one(source):
    with pytest.raises(UserError, match="write hf:owner/name@revision#config/split"):
        hub.parse(source)


# --- folders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_folder_of_data_files_is_read_by_the_format_of_its_columns(tmp_path, ending):
    (tmp_path / "data").mkdir()
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(VOTES), tmp_path / "data" / "train-00000-of-00001.parquet")
    else:
        write_lines(tmp_path / "data" / "train.jsonl", *VOTES)
    assert hub.looks_like(b"", tmp_path)
    found = read(tmp_path)
    assert answers(found) == [(turns("2+2?"), "4", True), (turns("2+2?"), "5", False)]
    assert [record.where for record in found] == [f"{tmp_path}: record 1", f"{tmp_path}: record 2"]


def test_of_several_splits_one_must_be_named(tmp_path):
    write_lines(tmp_path / "train.jsonl", *VOTES)
    write_lines(tmp_path / "test.jsonl", VOTES[0])
    with pytest.raises(UserError, match=r"the splits are train, test; name one: .*#train"):
        read(tmp_path)
    with pytest.raises(UserError, match="no split dev; the splits are train, test"):
        read(f"{tmp_path}#dev")
    assert counts(read(f"{tmp_path}#test")) == {"good": 1}


def test_columns_that_other_rows_have_come_as_null_and_say_nothing(tmp_path):
    rows = [{"messages": turns("a", "b")}, {"messages": [{**turns("c")[0], "name": "Ann"}, *turns("c", "d")[1:]]}]
    write_lines(tmp_path / "train.jsonl", *rows)
    assert counts(read(tmp_path)) == {"dialogue": 2}


def test_columns_are_mapped_and_a_format_can_be_named(tmp_path):
    write_lines(tmp_path / "train.jsonl", {"q": "2+2?", "a": "4", "stars": 5}, {"q": "2+2?", "a": "5", "stars": 1})
    fields = {"prompt": "q", "completion": "a", "label": "stars"}
    assert counts(read(tmp_path, fields=fields, threshold=3)) == {"good": 1, "bad": 1}
    with pytest.raises(UserError, match=r"record 1: found the columns q, a, stars; expected .*--map"):
        read(tmp_path)
    with pytest.raises(UserError, match="format 'telegram' does not read rows; these do: openai_preference"):
        list(hub.read(tmp_path, ReadOptions(), "telegram"))
    with pytest.raises(UserError, match="expected a column messages"):
        list(hub.read(tmp_path, ReadOptions(), "openai_messages"))


def test_0_is_no_vote_in_a_data_set_that_also_has_minus_1(tmp_path):
    write_lines(tmp_path / "train.jsonl", *({"prompt": "a", "completion": f"b{n}", "label": n} for n in (0, 1, -1)))
    assert counts(read(tmp_path)) == {"good": 1, "bad": 1, "no vote": 1}


def test_a_folder_that_is_empty_broken_or_missing_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="doesn't contain any data files"):
        read(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read(tmp_path / "none")
    (tmp_path / "train.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="holds no records"):
        read(tmp_path)
    (tmp_path / "train.jsonl").write_text('{"a": 1}\n{"a": \n', encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read as a data set"):
        read(tmp_path)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=damaged(b"".join(json.dumps(row).encode() + b"\n" for row in VOTES)))
def test_a_folder_with_a_damaged_file_is_read_or_refused_with_a_sentence(tmp_path, data):
    path = tmp_path / "train.jsonl"
    path.write_bytes(data)
    try:
        assert all(record.where.startswith(f"{tmp_path}: record ") for record in read(tmp_path))
    except UserError as error:
        assert str(tmp_path) in str(error)


# --- the Hub ------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Hub]:
    with in_a_thread(Hub()) as server:
        yield server


def ask(folder: Path, source: str, server: Hub | None, token: str | None = None) -> str:
    """What a process that knows that server as the Hub says of a data set; none: a port where nobody listens."""
    environment = hub_environment(folder, server, token)
    command = [sys.executable, "-c", PROGRAM, source]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60, cwd=folder)
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout


def test_without_a_network_the_hub_cannot_be_reached(tmp_path):
    assert "refused: hf:owner/name: the Hub cannot be reached; check the network" in ask(
        tmp_path, "hf:owner/name", None
    )


@pytest.mark.parametrize(
    ("status", "error", "source", "sentence"),
    [
        (
            404,
            "RepoNotFound",
            "hf:owner/name",
            "no such data set, or a private one; check the name, or: export HF_TOKEN=",
        ),
        (404, "RevisionNotFound", "hf:owner/name@v9", "the data set has no revision v9"),
        (401, "GatedRepo", "hf:owner/name", "a gated data set, and HF_TOKEN is not set; ask for access at https://hug"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_sentence(tmp_path, server, status, error, source, sentence):
    server.status, server.error = status, error
    assert ask(tmp_path, source, server).startswith(f"refused: {source}: {sentence}")


def test_a_token_without_access_to_a_gated_set_is_sent_and_said_to_have_none(tmp_path, server):
    server.status, server.error = 403, "GatedRepo"
    assert "HF_TOKEN has no access" in ask(tmp_path, "hf:owner/name@main#en/train", server, TOKEN)
    assert server.asked == [("/datasets/owner/name/resolve/main/README.md", f"Bearer {TOKEN}")]


COMMIT = "4470f033f33364e7d064c9f920c3df54d0cce767"
FILE = "data/train.jsonl"
ROWS = [{"prompt": f"question {n // 2}", "completion": f"answer {n}", "label": n % 2 == 0} for n in range(40)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


class _Holder(HubAnswer):
    """Answers what `datasets` asks about a data set of one file, whose branch main is at COMMIT."""

    def do_HEAD(self) -> None:  # noqa: N802 - the server's name for it
        self.server.asked.append((self.path, self.headers["Authorization"]))
        data = self._answer()
        self.send_response(404 if data is None else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        if data is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    do_GET = do_HEAD  # noqa: N815 - the server's name for it

    def _answer(self) -> bytes | None:
        path = self.path.partition("?")[0]
        listed = [{"type": "file", "path": FILE, "oid": "0", "size": len(LINES)}]
        answers = {
            f"/datasets/owner/name/resolve/{COMMIT}/{FILE}": LINES,
            f"/api/datasets/owner/name/revision/{COMMIT}": {"id": "owner/name", "sha": COMMIT, "siblings": []},
            f"/api/datasets/owner/name/tree/{COMMIT}": [{"type": "directory", "path": "data", "oid": "1", "size": 0}],
            f"/api/datasets/owner/name/tree/{COMMIT}/data": listed,
        }
        answer = answers.get(path)
        return answer if isinstance(answer, bytes | None) else json.dumps(answer).encode()


def test_a_data_set_is_read_at_the_commit_that_its_branch_stands_for_and_that_is_told(tmp_path, server):
    server.RequestHandlerClass = _Holder
    (tmp_path / "owner" / "name").mkdir(parents=True)  # a folder of the same name is something else
    assert ask(tmp_path, "hf:owner/name", server) == f"read: 40 records at {COMMIT}\n"
    paths = [path for path, _ in server.asked]
    assert paths[0] == "/datasets/owner/name/resolve/main/README.md"
    assert not any("main" in path for path in paths[1:])


def test_the_commit_is_in_the_manifest_and_what_is_prepared_needs_no_hub(tmp_path, server):
    server.RequestHandlerClass = _Holder
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "dataset.yaml").write_text("source: hf:owner/name\nsplit: {eval_fraction: 0.5}\n")
    command = [sys.executable, str(REPO / "scripts" / "prepare_data.py"), str(folder)]
    for holder in (server, None):
        environment = hub_environment(tmp_path, holder)
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert (manifest["commit"], manifest["read"]) == (COMMIT, 40)


def test_the_order_of_formats_asks_those_that_know_more_first():
    """A file of one kind has columns that a later kind would take as its own."""
    rows = {
        "llama_factory": {"messages": turns("a", "b"), "label": True},
        "hh_rlhf": {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"},
        "trl_paired": {
            "prompt": "a",
            "chosen": turns("a", "b"),
            "rejected": turns("a", "c"),
            "messages": turns("a", "b"),
        },
        "alpaca": {"instruction": "a", "input": "", "chosen": "b", "rejected": "c"},
        "trl_unpaired": {"prompt": "a", "completion": "b", "label": True},
        "openai_messages": {"messages": turns("a", "b")},
        "table": {"prompt": "a"},
    }
    for name, row in rows.items():
        found = next((source for source in hub.ROW_FORMATS if source.fits(row)), hub.table)
        assert name == found.NAME, json.dumps(row)
