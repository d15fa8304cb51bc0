"""Stop accepting connections without losing those that the kernel has already established."""

import asyncio
import contextlib
import ctypes
import selectors
import socket
import struct

ACCEPT_S = 0.25
"""How long the service still accepts established connections while it shuts down. The last packet of a handshake that has
begun may be late on a machine whose cores are all busy.
"""

LONGEST_ACCEPT_S = 5.0
"""How much longer it accepts those that wait: a process that gets little time has not come to them yet."""

SO_ATTACH_FILTER = 26
"""Linux's number for this socket option, which Python's socket module does not name."""


def stop_accepting(listening: socket.socket) -> None:
    """Refuse new connections to a listening socket while those in its queue are still accepted.

    Closing a socket resets the connections that the kernel has established and nobody has accepted yet. So a filter first
    drops every packet that begins a connection (its TCP header has SYN set; the program is classic BPF, see the Linux
    kernel's networking/filter.rst), then the queue is accepted, and then the socket is closed. A new client's kernel tries
    again after a second, and is refused or reaches the next process that listens there. Only Linux can do this.
    """
    drop_syn = (
        (0x30, 0, 0, 13),  # load the byte with the TCP header's flags
        (0x45, 0, 1, 0x02),  # is SYN set?
        (0x06, 0, 0, 0),  # yes: drop the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # no: pass all of it
    )
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in drop_syn)
    with contextlib.suppress(OSError, AttributeError):
        buffer = ctypes.create_string_buffer(program, len(program))
        address = struct.pack("HL", len(drop_syn), ctypes.addressof(buffer))
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, address)


async def all_accepted(listening: socket.socket) -> None:
    """Wait ACCEPT_S, and then until no connection waits in a socket's queue, while the event loop accepts them."""
    await asyncio.sleep(ACCEPT_S)
    with contextlib.suppress(TimeoutError), selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        async with asyncio.timeout(LONGEST_ACCEPT_S):
            while selector.select(0):
                await asyncio.sleep(0.01)
