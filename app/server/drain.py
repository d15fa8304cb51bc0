"""Stop accepting connections without losing those that the kernel has already established."""

import asyncio
import contextlib
import logging
import selectors
import socket

log = logging.getLogger("catscope")

ACCEPT_S = 0.25
"""How long the service still accepts established connections while it shuts down. The last packet of a handshake that has
begun may be late on a machine whose cores are all busy.
"""

LONGEST_ACCEPT_S = 5.0
"""How much longer it accepts those that wait: a process that gets little time has not come to them yet."""

SO_BINDTOIFINDEX = 62
"""Linux's number for this socket option, which Python's socket module does not name."""

NO_INTERFACE = 2**31 - 1
"""An index that no network interface has."""


def stop_accepting(listening: socket.socket) -> None:
    """Refuse new connections to a listening socket while those in its queue are still accepted.

    Closing a socket resets the connections that the kernel has established and nobody has accepted yet. So the socket is
    first bound to a network interface that does not exist: the kernel then finds no listener for a packet that begins a
    connection, and refuses it, while handshakes that have begun go on, since their packets are matched by address and port
    (`__inet_lookup_established` before `__inet_lookup_listener` in Linux's net/ipv4). Then the queue is accepted, and then
    the socket is closed. A process without privileges may do this on Linux 5.7 and later; a filter of packets, which does
    the same, not on every kernel.
    """
    try:
        listening.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, NO_INTERFACE)
    except OSError as error:
        log.warning("connections that arrive while the port is closed may be lost: %s", error.strerror)


async def all_accepted(listening: socket.socket) -> None:
    """Wait ACCEPT_S, and then until no connection waits in a socket's queue, while the event loop accepts them."""
    await asyncio.sleep(ACCEPT_S)
    with contextlib.suppress(TimeoutError), selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        async with asyncio.timeout(LONGEST_ACCEPT_S):
            while selector.select(0):
                await asyncio.sleep(0.01)
