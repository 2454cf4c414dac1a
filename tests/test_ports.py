"""Where a server may listen, and how the place is written."""

import socket

import pytest

from kto_recipes.errors import UserError
from kto_recipes.ports import listening, place, refuse_busy_port


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))],
)
def test_at_a_name_or_an_address_of_either_kind_a_client_is_let_in_and_then_the_port_is_free(host: str) -> None:
    with listening(host, 0) as opened:
        port = opened.getsockname()[1]
        socket.create_connection(opened.getsockname()[:2], timeout=5).close()
        with pytest.raises(UserError, match=r"cannot be listened on \(Address already in use\); choose another --port"):
            refuse_busy_port(host, port)
    refuse_busy_port(host, port)


def test_an_address_that_is_not_this_machine_s_is_refused() -> None:
    with pytest.raises(UserError, match=r"192\.0\.2\.1:0 cannot be listened on"):
        listening("192.0.2.1", 0)


def test_an_ipv6_address_has_brackets_before_its_port() -> None:
    written = {"127.0.0.1": "127.0.0.1:80", "::1": "[::1]:80", "localhost": "localhost:80"}
    assert {host: place(host, 80) for host in written} == written
