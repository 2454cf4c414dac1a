"""docker/compose.yaml against the Compose Specification's own schema (vendored), and what a training needs of it."""

import re
from typing import Any

import jsonschema
import pytest
from compose_files import ROOT, SCHEMA, compose_file


@pytest.fixture
def compose() -> dict[str, Any]:
    return compose_file("compose.yaml")


def test_it_is_a_compose_file(compose) -> None:
    jsonschema.validate(compose, SCHEMA)


@pytest.mark.parametrize("wrong", [{"comand": ["make"]}, {"ports": {"6006": 6006}}, {"gpus": "some"}])
def test_the_schema_sees_a_mistake(compose, wrong: dict[str, Any]) -> None:
    compose["services"]["train"] |= wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose, SCHEMA)


def test_a_training_has_its_volumes_and_limits(compose) -> None:
    train = compose["services"]["train"]
    assert [volume.split(":")[-1] for volume in train["volumes"] if not volume.endswith(":ro")] == [
        "/workspace/hf",
        "/workspace/datasets",
        "/workspace/outputs",
    ]
    assert (train["gpus"], train["ipc"]) == ("all", "host")
    assert train["ulimits"] == {"memlock": -1, "stack": 67108864}
    assert train["environment"]["HF_TOKEN"] is None  # taken from the caller, written nowhere


def test_nothing_listens_beyond_this_host(compose) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_it_builds_and_starts_is_there(compose) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for service in compose["services"].values():
        if build := service.get("build"):
            text = (ROOT / "docker" / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
            assert re.search(rf"(?m)^FROM .* AS {build['target']}$", text)
    goal = re.search(r":-([a-z-]+)}", compose["services"]["train"]["command"][1])[1]
    assert re.search(rf"(?m)^{goal}: ", makefile)
    assert (ROOT / compose["services"]["tensorboard"]["command"][1]).is_file()
