"""Counts and timings come in; what Prometheus scrapes at GET /metrics goes out.

With several processes (CATSCOPE_PROCESSES), each writes its metrics to files in a shared folder, and whichever process is
scraped adds them up: prometheus_client's multiprocess mode. A process that takes the place of a dead one goes on with its
files, so that there are never more of them.
"""

import os
from collections.abc import Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)

from app.inference.networks.engines.network import Network
from app.inference.predict import Answer
from app.settings import metrics_are_shared

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Files:
    """Where the names of this process's files end."""

    place: int | None = None

    @classmethod
    def end(cls) -> str:
        return f"pid{os.getpid()}" if cls.place is None else f"place{cls.place}"


if metrics_are_shared():
    values.ValueClass = values.MultiProcessValue(_Files.end)  # type: ignore[no-untyped-call]

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)

_requests = Counter("catscope_requests", "Requests answered", ["route", "method", "status"])
_request_seconds = Histogram(
    "catscope_request_seconds", "Time from a request's head to the end of its response", ["route"], buckets=_SECONDS
)
_step_seconds = Histogram(
    "catscope_step_seconds", "Time taken by each step of answering a photo", ["step"], buckets=_SECONDS
)
_bytes = Counter("catscope_bytes", "Bytes of request and response bodies", ["direction"])
_shed = Counter("catscope_shed", "Requests refused or abandoned to protect the others", ["reason"])
_verdicts = Counter("catscope_verdicts", "Verdicts given by /predict", ["network", "verdict"])
_answers = Counter("catscope_answers", "Photos answered, by what computed the answer", ["network", "precision"])
_probability = Histogram(
    "catscope_probability_cat",
    "Cat probabilities returned by /predict; if the distribution shifts, so have the photos",
    ["network"],
    buckets=[number / 10 for number in range(1, 10)],
)
_model = Gauge(
    "catscope_model_info",
    "1 for versions being served, 0 for those served before",
    ["network", "version", "sha256"],
    multiprocess_mode="livemax",
)
_served: list[tuple[str, str, str]] = []
_decoders = Counter("catscope_decoders_lost", "Processes that were lost while they decoded a photo, and replaced")
_reloads = Counter("catscope_reloads", "Reloads of the networks", ["outcome"])

in_flight = Gauge("catscope_in_flight_requests", "Requests received and not answered yet", multiprocess_mode="livesum")
working = Gauge("catscope_working", "Photos being worked on", multiprocess_mode="livesum")
waiting = Gauge("catscope_waiting", "Photos waiting for a thread", multiprocess_mode="livesum")
held_bytes = Gauge("catscope_held_bytes", "Bytes of photos held in memory", multiprocess_mode="livesum")
connections = Gauge("catscope_connections", "Open connections", multiprocess_mode="livesum")

SHED = {401: "key", 408: "slow", 413: "large", 429: "rate", 431: "head", 503: "overload", 504: "deadline"}
"""The reason label for each status with which a request is shed."""


def answered(route: str, method: str, status: int, seconds: float, received: int, sent: int) -> None:
    """Count one response. `route` is a path template that the application declares, never the path a client sent."""
    _requests.labels(route, method, str(status)).inc()
    _request_seconds.labels(route).observe(seconds)
    _bytes.labels("received").inc(received)
    _bytes.labels("sent").inc(sent)
    if status in SHED:
        _shed.labels(SHED[status]).inc()


def cut_off(status: int) -> None:
    """Count a request that never reached the application."""
    _requests.labels("", "", str(status)).inc()
    _shed.labels(SHED.get(status, "malformed")).inc()


def photo(answer: Answer, network: str, changed: bool = False) -> None:
    """Count one photo's verdict, unless the network was edited or of another epoch, and record the time each step took."""
    for step, milliseconds in answer.milliseconds.items():
        _step_seconds.labels(step).observe(milliseconds / 1000)
    _answers.labels(network, answer.precision).inc()
    if changed:
        return
    _verdicts.labels(network, answer.verdict).inc()
    if "cat" in answer.probabilities:  # users can serve their own networks, with other classes
        _probability.labels(network).observe(answer.probabilities["cat"])


def models(networks: Iterable[Network]) -> None:
    """Record which networks are being served."""
    for labels in _served:
        _model.labels(*labels).set(0)
    _served[:] = [(network.contract.network, network.contract.version, network.sha256) for network in networks]
    for labels in _served:
        _model.labels(*labels).set(1)


def decoder_lost() -> None:
    """Count a process that crashed, or took too long, while it decoded a photo."""
    _decoders.inc()


def reloaded(outcome: str) -> None:
    """Count one reload: `done`, or `refused` if the previous networks stay in use."""
    _reloads.labels(outcome).inc()


def take_place(place: int) -> None:
    """Count for that place among several processes, from 0, in which no other one is."""
    _Files.place = place


def leave_place(place: int) -> None:
    """The process in that place is dead: what it held counts no more, and what it has counted stays."""
    multiprocess.mark_process_dead(f"place{place}")  # type: ignore[no-untyped-call]


def exposition(shared: bool) -> bytes:
    """All metrics in Prometheus' text format; when `shared`, those of every process, added up."""
    if not shared:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
