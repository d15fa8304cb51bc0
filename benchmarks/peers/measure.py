"""Measures how many photos a running server answers, how soon, and with how much memory."""

import statistics
import sys
from contextlib import nullcontext

from benchmarks.clients import at_rate, saturate
from benchmarks.peers.running import Failed, Server, ask, installed_megabytes, running, version
from benchmarks.peers.servers import OURS, Peer

CONNECTIONS = 8  # that always have a request pending: four per core on two cores
WARM_S = 2
ROUNDS = 3
ROUND_S = 4
SLOW = 15
"""Answers per second below which a round takes twice as long: otherwise a few answers could make a difference of a tenth."""

LOADS = {"half": 0.5, "most": 0.8, "twice": 2.0}
"""Fixed request rates, as fractions of the rate at saturation."""

TOLERANCE = 0.01
"""How far the probability of a cat may differ from ours; a different way of resizing changes it a little."""


def measured(peer: Peer, variant: str, mixes: dict[str, list[bytes]], ours: Server) -> dict:
    """One variant of one peer, from its start to its end.

    While it runs, ours takes turns with it, each paused while the other works, so a slow moment of the machine affects both.
    Raises Failed if the peer cannot be run or gives a wrong answer.
    """
    say(f"{peer.title}, {variant}: starting")
    photo = mixes["web"][0]
    with running(peer, variant, photo) as server:
        if abs(server.cat - ours.cat) > TOLERANCE:
            raise Failed(f"its probability of a cat is {server.cat:.4f}, ours is {ours.cat:.4f}")
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
    """The same for our server, which takes turns with no other."""
    return {
        "seconds_to_first_answer": ours.seconds,
        "cat": round(ours.cat, 5),
        "installed_megabytes": installed_megabytes(OURS),
        "memory_at_start": ours.memory(),
        "mixes": {name: _mix(OURS, ours, photos, None, name) for name, photos in mixes.items()},
        "memory_after_load": ours.memory(),
    }


def _mix(peer: Peer, server: Server, photos: list[bytes], ours: Server | None, name: str) -> dict:
    """Throughput at saturation, in turns with ours, then latency at fixed rates."""
    bodies = [peer.body(photo) for photo in photos]

    def saturated(of: Peer, server: Server, sends: list[bytes], seconds: int) -> dict:
        report = saturate(server.url, sends, of.content_type, CONNECTIONS, seconds, headers=of.headers)
        ask(of, server.url, photos[0])  # waits until the requests that wrk left unanswered are done
        return report

    about = saturated(peer, server, bodies, WARM_S)["per_second"]
    seconds = ROUND_S if about > SLOW else 2 * ROUND_S
    rounds, our_rounds = [], []
    for _ in range(ROUNDS):
        with ours.resting() if ours else nullcontext():
            rounds.append(saturated(peer, server, bodies, seconds))
        if ours:
            with server.resting() if peer.pausable else nullcontext():
                our_rounds.append(saturated(OURS, ours, [OURS.body(photo) for photo in photos], ROUND_S))
    middle = sorted(rounds, key=lambda one: one["per_second"])[ROUNDS // 2]
    if not middle["per_second"]:
        raise Failed(f"no answers under load: {middle['refused']} refused, {middle['broken']} broken")
    say(f"  {name}: {middle['per_second']:.1f}/s")
    result = {"saturated": middle, "rounds_per_second": [one["per_second"] for one in rounds]}
    if ours:
        beside = statistics.median(one["per_second"] for one in our_rounds)
        result |= {"ours_per_second": beside, "ours_is_times": round(beside / middle["per_second"], 2)}
    for load, part in LOADS.items():
        rate = part * middle["per_second"]
        report = at_rate(server.url, bodies, peer.content_type, rate, seconds, peer.headers)
        ask(peer, server.url, photos[0])
        result[load] = {"per_second": round(rate, 1)} | report
    return result


def say(line: str) -> None:
    """Print a line about the progress, to standard error."""
    print(line, file=sys.stderr, flush=True)
