"""A running server and photos come in; what it can answer, how soon, and in how much memory comes out, as plain values."""

import statistics
import sys
from contextlib import nullcontext

from benchmarks.clients import at_rate, saturate
from benchmarks.peers.running import Failed, Server, ask, installed_megabytes, running, version
from benchmarks.peers.servers import OURS, Peer

CONNECTIONS = 8  # that always have a request waiting: four a core on two cores
WARM_S = 2
ROUNDS = 3
ROUND_S = 4
SLOW = 15
"""Answers a second below which a round lasts twice as long: else a few answers more or less would be a tenth."""

LOADS = {"half": 0.5, "most": 0.8, "twice": 2.0}
"""Requests a second that are sent whatever happens, as a part of what the server can answer."""

TOLERANCE = 0.01
"""How far the probability of a cat may lie from ours; another way of resizing moves it a little."""


def measured(peer: Peer, variant: str, mixes: dict[str, list[bytes]], ours: Server) -> dict:
    """One variant of one peer, from its start to its end.

    While it runs, ours takes turns with it, each held while the other works: a slow moment of the machine hits both. Raises
    Failed when it cannot be run, or answers wrongly.
    """
    say(f"{peer.title}, {variant}: starting")
    photo = mixes["web"][0]
    with running(peer, variant, photo) as server:
        if abs(server.cat - ours.cat) > TOLERANCE:
            raise Failed(f"it says {server.cat:.4f} of a cat where we say {ours.cat:.4f}")
        result = {
            "version": version(peer),
            "seconds_to_first_answer": server.seconds,
            "cat": round(server.cat, 5),
            "installed_megabytes": installed_megabytes(peer),
            "memory_at_start": server.memory(),
            "mixes": {name: _mix(peer, server, photos, ours, name) for name, photos in mixes.items()},
        }
        return result | {"memory_after_load": server.memory()}


def measured_ours(mixes: dict[str, list[bytes]], ours: Server) -> dict:
    """The same of ours, which takes turns with nobody."""
    return {
        "seconds_to_first_answer": ours.seconds,
        "cat": round(ours.cat, 5),
        "installed_megabytes": installed_megabytes(OURS),
        "memory_at_start": ours.memory(),
        "mixes": {name: _mix(OURS, ours, photos, None, name) for name, photos in mixes.items()},
        "memory_after_load": ours.memory(),
    }


def _mix(peer: Peer, server: Server, photos: list[bytes], ours: Server | None, name: str) -> dict:
    """Saturation in turns with ours, then what people would see at fixed rates."""
    bodies = [peer.body(photo) for photo in photos]

    def saturated(whose: Peer, where: Server, sends: list[bytes], seconds: int) -> dict:
        found = saturate(where.url, sends, whose.content_type, CONNECTIONS, seconds, headers=whose.headers)
        ask(whose, where.url, photos[0])  # behind what wrk left unanswered, so that nobody finds that work before his own
        return found

    about = saturated(peer, server, bodies, WARM_S)["per_second"]
    seconds = ROUND_S if about > SLOW else 2 * ROUND_S
    rounds, our_rounds = [], []
    for _ in range(ROUNDS):
        with ours.resting() if ours else nullcontext():
            rounds.append(saturated(peer, server, bodies, seconds))
        if ours:
            with server.resting() if peer.may_be_held else nullcontext():
                our_rounds.append(saturated(OURS, ours, [OURS.body(photo) for photo in photos], ROUND_S))
    middle = sorted(rounds, key=lambda one: one["per_second"])[ROUNDS // 2]
    if not middle["per_second"]:
        raise Failed(f"under load it answered nothing: {middle['refused']} refused, {middle['broken']} broken")
    say(f"  {name}: {middle['per_second']:.1f}/s")
    result = {"saturated": middle, "rounds_per_second": [one["per_second"] for one in rounds]}
    if ours:
        beside = statistics.median(one["per_second"] for one in our_rounds)
        result |= {"ours_per_second": beside, "ours_is_times": round(beside / middle["per_second"], 2)}
    for load, part in LOADS.items():
        rate = part * middle["per_second"]
        found = at_rate(server.url, bodies, peer.content_type, rate, seconds, peer.headers)
        ask(peer, server.url, photos[0])
        result[load] = {"per_second": round(rate, 1)} | found
    return result


def say(line: str) -> None:
    """A line about how far it is, beside the tables."""
    print(line, file=sys.stderr, flush=True)
