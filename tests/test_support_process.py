"""A server process that starts, that does not, and that is killed under the test."""

import os
import signal
import socket

import psutil
import pytest

from tests.support.process import Server

WORKING = ".:{port} {{\n    whoami\n}}\n"
BROKEN = ".:{port} {{\n    nosuch\n}}\n"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return udp.getsockname()[1]


def server(folder, text, *arguments):
    port = free_port()
    corefile = folder / "Corefile"
    corefile.write_text(text.format(port=port))
    return Server(corefile, *arguments, address=("127.0.0.1", port))


def test_a_server_answers_and_ends_with_0_on_sigterm(tmp_path):
    with server(tmp_path, WORKING) as running:
        os.kill(running.pid, 0)
    running.stop()


def test_a_server_that_does_not_start_shows_its_output(tmp_path):
    with (
        pytest.raises(AssertionError, match=r"ended with 1 before it answered:\n.*Corefile:2"),
        server(tmp_path, BROKEN),
    ):
        pass


def test_a_server_that_was_killed_is_no_clean_end(tmp_path):
    running = server(tmp_path, WORKING)
    with pytest.raises(AssertionError, match="exit code -9"), running:
        os.kill(running.pid, signal.SIGKILL)


def test_workers_are_asked_one_at_a_time(tmp_path):
    with server(tmp_path, WORKING, "--workers", "2") as running:
        running.await_workers(2)
        workers = running.workers()

        def awake():
            return [pid for pid in workers if psutil.Process(pid).status() != psutil.STATUS_STOPPED]

        assert running.by_each_worker(awake) == [[pid] for pid in workers]
        assert awake() == workers
        assert running.controller not in (0, *workers)


def test_nobody_stays_stopped_after_a_mistake(tmp_path):
    with server(tmp_path, WORKING, "--workers", "2") as running:
        running.await_workers(2)
        with pytest.raises(ZeroDivisionError):
            running.by_each_worker(lambda: 1 / 0)
