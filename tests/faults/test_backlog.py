"""Connections that the kernel has made and the service has not accepted yet, when it is stopped."""

import socket
import sys

import pytest

from app.server.drain import stop_accepting


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can filter a listening socket")
def test_pending_connections_are_still_accepted_and_no_new_ones_are():
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as early, socket.socket() as late:
        early.connect(listening.getsockname())
        early.sendall(b"before")
        stop_accepting(listening)
        late.settimeout(0.3)  # the client's kernel retries after a second, in vain too
        with pytest.raises(TimeoutError):
            late.connect(listening.getsockname())
        early.sendall(b" and after")
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(16, socket.MSG_WAITALL) == b"before and after"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
