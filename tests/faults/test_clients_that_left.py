"""Clients that close their connections while their photos wait for their turn."""

import signal

import pytest
from PIL import Image

from tests.conftest import COMMAND, encoded, serving
from tests.faults.clients import Connection, request, wait_until
from tests.faults.service import MODEL, number

CLIENTS = 20


@pytest.mark.promise("P10")
def test_photos_of_clients_that_left_are_not_worked_on():
    photo = request(encoded(Image.linear_gradient("L").resize((3000, 3000)), "JPEG", quality=30))
    with serving(*COMMAND, model_dir=MODEL, threads=1, max_waiting=2 * CLIENTS, log_level="error") as (process, url):
        # While it is stopped, the kernel takes the photos and the ends of their connections, so they are all there at once.
        process.send_signal(signal.SIGSTOP)
        for _ in range(CLIENTS):
            client = Connection(url)
            client.socket.sendall(photo)
            client.socket.close()
        process.send_signal(signal.SIGCONT)

        def answered(status: str) -> float:
            return number(url, "catscope_requests_total", route="/predict", status=status)

        wait_until(lambda: answered("200") + answered("499") == CLIENTS, "every request has ended")
        worked_on = number(url, "catscope_step_seconds_count", step="decode")
        assert worked_on < CLIENTS / 2
        assert answered("499") >= CLIENTS - worked_on
        assert number(url, "catscope_waiting") == 0
