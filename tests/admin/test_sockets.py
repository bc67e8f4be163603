"""Sockets for HTTP: families, and what hinders."""

import contextlib
import socket

import pytest

from clusterdns.errors import ClusterDNSError
from clusterdns.net.listen import bind_http


@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_an_empty_host_takes_both_families(client):
    with bind_http("", 0) as sock, socket.create_connection((client, sock.getsockname()[1]), 5):
        sock.settimeout(5)
        sock.accept()[0].close()


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_an_address_takes_itself_alone(host, other):
    with bind_http(host, 0) as sock:
        assert sock.getsockname()[0] == host
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, sock.getsockname()[1]), 5)


@pytest.mark.parametrize(("first", "second"), [("", ""), ("127.0.0.1", "127.0.0.1"), ("", "127.0.0.1"), ("::1", "")])
def test_a_port_that_is_taken(first, second):
    with bind_http(first, 0) as sock, pytest.raises(ClusterDNSError) as raised:
        bind_http(second, sock.getsockname()[1])
    assert "Address already in use: another server listens there, or a server block" in str(raised.value)


def test_an_address_that_is_not_ours():
    with pytest.raises(ClusterDNSError, match=r"192\.0\.2\.77:8080/TCP: .*correct `health` or `ready`"):
        bind_http("192.0.2.77", 8080)


def test_a_port_is_free_again_after_a_connection():
    """A restart must not wait until the kernel forgets it."""
    with contextlib.ExitStack() as opened:
        sock = opened.enter_context(bind_http("127.0.0.1", 0))
        port = sock.getsockname()[1]
        client = opened.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        sock.settimeout(5)
        # Whoever closes first keeps the connection in TIME-WAIT
        sock.accept()[0].close()
        assert client.recv(1) == b""
        sock.close()
        bind_http("127.0.0.1", port).close()
