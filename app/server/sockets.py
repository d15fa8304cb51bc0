"""The listening socket, and the number of connections that the process may hold."""

import contextlib
import logging
import socket

from app.settings import Settings

BACKLOG = 2048

log = logging.getLogger("catscope")


def raise_file_limit() -> None:
    """Raise this process's limit on open files, usually 1,024, to the system's maximum: each connection is one."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listening_socket(settings: Settings) -> socket.socket:
    """The socket to listen on; for `::` one of both families, where the system has them.

    Raises OSError when the address is not available.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    both = settings.host == "::" and socket.has_dualstack_ipv6()
    if settings.host == "::" and not both:
        log.warning("this system has no sockets for both families: listening on IPv6 only")
    listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    listening.setblocking(False)
    return listening
