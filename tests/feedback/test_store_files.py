"""What a store counts, what it loads from a file and writes to one, and how it is opened."""

import json

import pytest

from kto_recipes.errors import UserError
from kto_recipes.feedback.statistics import agreement
from kto_recipes.feedback.store import Store


def lines(store):
    return [json.loads(line) for line in b"".join(store.export()).splitlines()]


# --- statistics -------------------------------------------------------------------------------------------------


def test_statistics_are_by_the_model_of_a_run_and_by_day_of_what_counts(store):
    day = 86_400
    for answer, desirable, run, at in (
        ("a", True, "first", 20_000 * day),
        ("b", False, "first", 20_000 * day + day - 1),
        ("c", True, "second", 20_001 * day),
        ("c", False, "second", 20_001 * day + 0.5),  # the rater changed her mind
    ):
        store.record("q", answer, desirable, {"rater": "ana", "model": "kto", "run": run, "time": at})
    store.record("q", "d", True, {"model": "base", "time": 20_001 * day})
    counted = store.statistics()
    by_model = {(it["model"], it["run"]): (it["total"], it["desirable"]) for it in counted["by_model"]}
    assert by_model == {("base", None): (1, 1), ("kto", "first"): (2, 1), ("kto", "second"): (1, 0)}
    assert [(it["day"], it["total"]) for it in counted["by_day"]] == [("2024-10-04", 2), ("2024-10-05", 2)]


def test_agreement_is_krippendorffs_on_his_own_example():
    # Computing Krippendorff's Alpha-Reliability (2011), part A: two observers, ten units, six 0-0, one 1-1, three apart
    found = agreement([(0, 2, 5), (2, 0, 1), (1, 1, 4)])
    assert found["alpha"] == pytest.approx(0.095, abs=5e-4)
    assert found["share"] == pytest.approx(0.6)
    assert found["answers"] == 10
    assert agreement([(3, 0, 2), (0, 2, 1)])["alpha"] == 1
    assert agreement([(1, 0, 9)]) == {"answers": 0, "share": None, "alpha": None}


# --- files ------------------------------------------------------------------------------------------------------


def test_a_file_of_votes_is_loaded_once_however_often(store, tmp_path):
    votes = [
        {"prompt": "2+2?", "completion": "4", "label": True, "metadata": {"user_id": "u1", "timestamp": "2025-01-12"}},
        {"prompt": [{"role": "user", "content": "3+3?"}], "completion": "7", "label": False, "rater": "u2"},
    ]
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(it) + "\n" for it in votes), encoding="utf-8")
    assert store.load(path) == {"read": 2, "added": 2}
    assert store.load(path) == {"read": 2, "added": 0}
    first, second = lines(store)
    assert (first["rater"], first["time"], first["label"]) == ("u1", 1_736_640_000, True)  # 2025-01-12, UTC
    assert (second["rater"], second["label"]) == ("u2", False)


def test_a_file_that_has_grown_adds_what_is_new_and_a_rater_may_change_her_mind_in_it(store, tmp_path):
    path = tmp_path / "votes.jsonl"
    votes = [{"prompt": "2+2?", "completion": "4", "label": label, "rater": "ana"} for label in (True, False, True)]
    path.write_text("".join(json.dumps(it) + "\n" for it in votes[:2]), encoding="utf-8")
    assert store.load(path)["added"] == 2
    path.write_text("".join(json.dumps(it) + "\n" for it in votes), encoding="utf-8")
    assert store.load(path) == {"read": 3, "added": 1}
    assert [line["label"] for line in lines(store)] == [True]


def test_an_export_is_loaded_into_another_store_unchanged(store, tmp_path):
    sampling = {"temperature": 0.7}
    more = {"model": "x", "run": "r", "sampling": sampling, "reasons": ["short"], "comment": "c", "other": {"n": 1.5}}
    store.record("2+2?", "4", True, {"rater": "ana", **more})
    store.record([{"role": "system", "content": "s"}, {"role": "user", "content": "3?"}], "4", False)
    path = tmp_path / "votes.jsonl"
    path.write_bytes(b"".join(store.export()))
    with Store(tmp_path / "other.db") as other:
        other.load(path)
        assert lines(other) == lines(store)


def test_a_file_with_a_bad_line_is_refused_whole_with_its_place(tmp_path):
    path = tmp_path / "votes.jsonl"
    path.write_text('{"prompt": "a", "completion": "b", "label": true}\n{"prompt": "a", "completion": "b"}\n')
    with Store(tmp_path / "f.db") as store:
        with pytest.raises(UserError, match=r"votes\.jsonl:2: label: Field required$"):
            store.load(path)
        assert list(store.votes()) == []


# --- opening ----------------------------------------------------------------------------------------------------


def test_only_its_owner_may_read_the_file(tmp_path):
    with Store(tmp_path / "new" / "f.db") as store:
        store.record("q", "a", True)
        files = list((tmp_path / "new").iterdir())
    assert {path.name for path in files} >= {"f.db", "f.db-wal"}
    assert (tmp_path / "new" / "f.db").stat().st_mode & 0o077 == 0


def test_every_commit_is_flushed_to_the_disk(store):
    with store.database.writing.begin() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        else:
            assert connection.exec_driver_sql("SHOW fsync").scalar() == "on"
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


@pytest.mark.postgres
def test_a_database_whose_default_is_not_to_flush_does_so_for_votes(postgres_place):
    with Store(postgres_place) as store, store.database.writing.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Store(postgres_place) as store, store.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("no database " * 100), "cannot be opened as a store of feedback"),
        (lambda path: path.mkdir(), "cannot be opened as a store of feedback"),
    ],
)
def test_what_is_no_store_is_refused(tmp_path, make, message):
    make(tmp_path / "f.db")
    with pytest.raises(UserError, match=message):
        Store(tmp_path / "f.db")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made"):
        Store(tmp_path / "file" / "f.db")


def test_an_address_is_refused_without_telling_its_password(tmp_path):
    for place in ("mysql://u:secret@h/d", "postgresql://u:secret@[h/d", "postgresql://u:secret@127.0.0.1:1/d"):
        with pytest.raises(UserError) as error:
            Store(place)
        assert "secret" not in str(error.value)


def test_the_store_in_the_environment_is_taken_unless_another_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store().close()
    assert (tmp_path / "outputs" / "feedback" / "feedback.db").is_file()
    monkeypatch.setenv("DATABASE_URL", "mysql://h/d")
    with pytest.raises(UserError, match="no postgresql://"):
        Store()
    Store(tmp_path / "f.db").close()


def test_a_store_that_must_be_there_is_not_made(tmp_path):
    with pytest.raises(UserError, match="no such store"):
        Store(tmp_path / "f.db", make=False)
    assert list(tmp_path.iterdir()) == []
