"""What happens in the service comes in as numbers; what Prometheus reads at GET /metrics goes out.

With several processes (CATSCOPE_PROCESSES), each writes its numbers into files of a folder that they share, and whichever is
asked adds them up: prometheus_client's multiprocess mode.
"""

from collections.abc import Iterable

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.inference.network import Network
from app.inference.predict import Answer

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)

_requests = Counter("catscope_requests", "Requests that were answered", ["route", "method", "status"])
_request_seconds = Histogram(
    "catscope_request_seconds", "Time from a request's head to its answer's end", ["route"], buckets=_SECONDS
)
_step_seconds = Histogram("catscope_step_seconds", "Time of each step of answering a photo", ["step"], buckets=_SECONDS)
_bytes = Counter("catscope_bytes", "Bytes of bodies", ["direction"])
_shed = Counter("catscope_shed", "Requests that were refused or given up to protect the others", ["reason"])
_verdicts = Counter("catscope_verdicts", "Verdicts of /predict", ["network", "verdict"])
_probability = Histogram(
    "catscope_probability_cat",
    "Probabilities of a cat that /predict answered; a change of their shape means other photos than before",
    ["network"],
    buckets=[number / 10 for number in range(1, 10)],
)
_model = Gauge(
    "catscope_model_info",
    "1 for what is served, 0 for what was",
    ["network", "version", "sha256"],
    multiprocess_mode="livemax",
)
_served: list[tuple[str, str, str]] = []
_reloads = Counter("catscope_reloads", "Reloads of the networks", ["outcome"])

in_flight = Gauge("catscope_in_flight_requests", "Requests that came and are not answered yet", multiprocess_mode="livesum")
working = Gauge("catscope_working", "Photos that are being worked on", multiprocess_mode="livesum")
waiting = Gauge("catscope_waiting", "Photos that wait for a thread", multiprocess_mode="livesum")
held_bytes = Gauge("catscope_held_bytes", "Bytes of photos that are held", multiprocess_mode="livesum")
connections = Gauge("catscope_connections", "Open connections", multiprocess_mode="livesum")

SHED = {401: "key", 408: "slow", 413: "large", 429: "rate", 431: "head", 503: "overload", 504: "deadline"}
"""Why a request with that status was shed."""


def answered(route: str, method: str, status: int, seconds: float, received: int, sent: int) -> None:
    """Count one answer. `route` is a path as the application declares it, never one that a client made up."""
    _requests.labels(route, method, str(status)).inc()
    _request_seconds.labels(route).observe(seconds)
    _bytes.labels("received").inc(received)
    _bytes.labels("sent").inc(sent)
    if status in SHED:
        _shed.labels(SHED[status]).inc()


def cut_off(status: int) -> None:
    """Count one request that never reached the application."""
    _requests.labels("", "", str(status)).inc()
    _shed.labels(SHED.get(status, "malformed")).inc()


def photo(answer: Answer, network: str) -> None:
    """Count what was answered about one photo, and the time that its steps took."""
    for step, milliseconds in answer.milliseconds.items():
        _step_seconds.labels(step).observe(milliseconds / 1000)
    _verdicts.labels(network, answer.verdict).inc()
    if "cat" in answer.probabilities:  # people bring networks of their own, with other classes
        _probability.labels(network).observe(answer.probabilities["cat"])


def models(networks: Iterable[Network]) -> None:
    """Say which networks are served now."""
    for labels in _served:
        _model.labels(*labels).set(0)
    _served[:] = [(network.contract.network, network.contract.version, network.sha256) for network in networks]
    for labels in _served:
        _model.labels(*labels).set(1)


def reloaded(outcome: str) -> None:
    """Count one reload: `done`, or `refused` when the old networks go on."""
    _reloads.labels(outcome).inc()


def exposition(shared: bool) -> bytes:
    """Everything in Prometheus' text format; of all processes when they share a folder."""
    if not shared:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
