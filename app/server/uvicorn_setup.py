"""Uvicorn's server and configuration, set up to start, reload and stop without losing a request.

One process serves, or several under a parent (app.server.processes) that replaces those that die, forwards signals and owns
the listening socket, so that connections in its queue wait for a living process.
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket

import uvicorn
from starlette.types import ASGIApp

from app.capacity import is_streamed
from app.server.below_path import BelowPath
from app.server.connection import ConnectionLimits, Protocol
from app.server.drain import all_accepted, stop_accepting
from app.server.processes import ParentLink
from app.server.sockets import BACKLOG
from app.service import Service
from app.settings import Settings

log = logging.getLogger("catscope")

GRACE_S = 30
"""How long a shutdown waits for requests under way."""


class Server(uvicorn.Server):
    """Uvicorn's server, with a reload on SIGHUP and a shutdown that accepts what waits in the socket's queue."""

    def __init__(self, config: uvicorn.Config, service: Service, link: "ParentLink | None" = None) -> None:
        super().__init__(config)
        self._service = service
        self._link = link  # to the parent, if there is one

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn; from now on SIGHUP reloads the networks."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, AttributeError, ValueError):  # where there are no such signals
            loop.add_signal_handler(signal.SIGHUP, self._service.reload_soon)
        if self._link:
            loop.add_reader(self._link.alive, self._orphaned)
        await super().startup(sockets)
        if self._link:
            os.write(self._link.ready, b"!")

    def _orphaned(self) -> None:
        assert self._link
        asyncio.get_running_loop().remove_reader(self._link.alive)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn, after accepting the connections in the socket's queue. A parent has already stopped new ones, or
        other processes take them.
        """
        if not self._link:
            for listening in sockets or []:
                stop_accepting(listening)
        await asyncio.gather(*(all_accepted(listening) for listening in sockets or []))
        await super().shutdown(sockets)


def config(settings: Settings, app: ASGIApp, service: Service) -> uvicorn.Config:
    """Uvicorn's configuration for the application."""
    limits = ConnectionLimits(settings.max_bytes, is_streamed, service.uploads)
    return uvicorn.Config(
        BelowPath(app, settings.root_path),
        http=functools.partial(Protocol, limits),  # type: ignore[arg-type]  # it is called
        host=settings.host,
        port=settings.port,
        log_config=None,  # app.commands.serve has configured it
        access_log=False,  # app.middleware.request_log writes it
        server_header=False,
        proxy_headers=False,  # app.server.below_path reads them
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=GRACE_S,
    )
