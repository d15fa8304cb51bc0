"""Connections that the kernel has made and the service has not accepted yet, when it is stopped."""

import asyncio
import socket
import sys

import pytest

from app.server import drain
from app.server.drain import all_accepted, stop_accepting


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can refuse connections and keep those that wait")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_pending_connections_are_still_accepted_and_no_new_ones_are(family, host):
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError as error:
        pytest.skip(f"there is no {host} here: {error}")
    with listening, socket.socket(family) as early, socket.socket(family) as late:
        early.connect(listening.getsockname())
        early.sendall(b"before")
        stop_accepting(listening)
        with pytest.raises(ConnectionRefusedError):
            late.connect(listening.getsockname())
        early.sendall(b" and after")
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(16, socket.MSG_WAITALL) == b"before and after"
            accepted.sendall(b"answer")
        assert early.recv(16) == b"answer"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_system_that_cannot_do_so_says_so(caplog, monkeypatch):
    monkeypatch.setattr(drain, "SO_BINDTOIFINDEX", 9999)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop_accepting(listening)
        socket.create_connection(listening.getsockname()).close()
    (said,) = caplog.messages
    assert said.startswith("connections that arrive while the port is closed may be lost: ")


def test_a_process_that_gets_little_time_accepts_all_that_wait(monkeypatch):
    monkeypatch.setattr(drain, "ACCEPT_S", 0.0)
    monkeypatch.setattr(drain, "LONGEST_ACCEPT_S", 600.0)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
            waiting = asyncio.create_task(all_accepted(listening))
            for client in clients:
                await asyncio.sleep(0.05)
                assert not waiting.done(), "a connection has not been accepted"
                listening.accept()[0].close()
                client.close()
            await asyncio.wait_for(waiting, 60)

    asyncio.run(main())


def test_nobody_waits_for_ever_for_connections_that_cannot_be_accepted(monkeypatch):
    monkeypatch.setattr(drain, "ACCEPT_S", 0.0)
    monkeypatch.setattr(drain, "LONGEST_ACCEPT_S", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        asyncio.run(asyncio.wait_for(all_accepted(listening), 60))
