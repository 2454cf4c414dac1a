"""docker/compose.feedback.yaml: a compose file whose server starts as the script does, with a pinned database."""

import re
import shlex
from typing import Any

import jsonschema
import pytest
from compose_files import ROOT, SCHEMA, compose_file


@pytest.fixture
def compose() -> dict[str, Any]:
    return compose_file("compose.feedback.yaml")


def test_it_is_a_compose_file(compose) -> None:
    jsonschema.validate(compose, SCHEMA)


def test_a_foreign_image_is_pinned_by_its_digest(compose) -> None:
    foreign = [one["image"] for one in compose["services"].values() if "build" not in one]
    assert foreign
    assert all(re.fullmatch(r"[^@]+@sha256:[0-9a-f]{64}", image) for image in foreign)


def test_only_this_host_reaches_it_and_nobody_the_database(compose) -> None:
    ports = {name: one.get("ports", []) for name, one in compose["services"].items()}
    assert ports["postgres"] == []
    assert all(port.startswith("127.0.0.1:") for port in ports["feedback"])


def test_no_two_compose_files_want_the_same_port(compose) -> None:
    other = compose_file("compose.yaml")
    services = [*compose["services"].values(), *other["services"].values()]
    ports = [port for one in services for port in one.get("ports", [])]
    assert len(ports) == len(set(ports))


def test_the_password_is_the_caller_s_and_written_nowhere(compose) -> None:
    text = (ROOT / "docker/compose.feedback.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{POSTGRES_PASSWORD(..)", text)) == {":?"}  # without one nothing starts
    assert "${POSTGRES_PASSWORD" in compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]


def test_what_it_starts_is_there_and_listens_where_the_port_leads(compose) -> None:
    service = compose["services"]["feedback"]
    command = shlex.split(service["command"].replace("${FLAGS:-}", ""))
    assert command[0] == "python"
    assert (ROOT / command[1]).is_file()
    port = command[command.index("--port") + 1]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    source = (ROOT / command[1]).read_text(encoding="utf-8")
    assert all(f"{name[2:]}: Annotated" in source for name in command if name.startswith("--"))
