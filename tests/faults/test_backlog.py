"""Connections that the kernel has made and nobody has accepted yet, when the service is stopped."""

import socket
import sys

import pytest

from app.server import refuse_new


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can filter a listening socket")
def test_who_is_connected_is_still_accepted_and_nobody_else_comes_in():
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as early, socket.socket() as late:
        early.connect(listening.getsockname())
        early.sendall(b"before")
        refuse_new(listening)
        late.settimeout(0.3)  # the client's kernel asks again after a second, in vain too
        with pytest.raises(TimeoutError):
            late.connect(listening.getsockname())
        early.sendall(b" and after")
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(16, socket.MSG_WAITALL) == b"before and after"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
