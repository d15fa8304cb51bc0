"""Every setting of the service in one frozen `Settings`; the environment is read, and written, here and nowhere else."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from app.inference.decode import MAX_PIXELS

PREFIX = "CATSCOPE_"

INSTALLED = Path(__file__).parents[1] / "model"
"""Where the networks lie beside the package, in a checkout as after `pip install .`."""


def _setting(default: Any, says: str, **more: Any) -> Any:
    return field(default=default, metadata={"says": says} | more)


@dataclass(frozen=True)
class Settings:
    """The service's settings; each is read from the environment variable CATSCOPE_ plus its name in capitals."""

    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 for all")
    port: int = _setting(8000, "port to listen on", least=0, most=65535)
    model_dir: Path = _setting(
        Path("model"),
        "folder that holds a folder for each network; where there is no model/, those that came with the package",
    )
    engine: str = _setting("onnx", "what runs a network: onnx, or keras (needs TensorFlow)", among=("onnx", "keras"))
    network: str = _setting("", "network that answers when a request names none; empty: cat, else tutorial, else the first")
    versions: tuple[str, ...] = _setting(
        (), "comma-separated pins, as cat=1.0.0, of networks of which not the newest version is to answer", pairs=True
    )
    processes: int = _setting(1, "processes that serve; of several, one that dies is started anew", least=1, most=256)
    threads: int = _setting(0, "photos that each process works on at once; 0: one a core", least=0, most=1024)
    max_bytes: int = _setting(20 * 1024 * 1024, "largest request body in bytes", least=1)
    max_pixels: int = _setting(MAX_PIXELS, "largest photo in pixels, width x height", least=1)
    max_waiting: int = _setting(64, "requests that may wait for a thread; more are answered 503", least=0)
    max_held_bytes: int = _setting(256 * 1024 * 1024, "bytes of photos held at once; then it answers 503", least=1)
    keep_alive_s: int = _setting(75, "seconds that a connection without a request is kept open", least=1)
    deadline_s: float = _setting(10.0, "seconds a request may wait and be worked on; longer is answered 504", least=0.001)
    api_keys: tuple[str, ...] = _setting((), "comma-separated keys, one of which every request must send; empty: none")
    api_keys_file: Path = _setting(
        Path(), "file with a key a line, besides those; looked at again when it changes, so that keys can be replaced"
    )
    rate_limit: int = _setting(0, "requests a minute from one key or address; 0: no limit", least=0)
    cors_origins: tuple[str, ...] = _setting(
        (), "comma-separated origins, as https://cats.example, whose pages may ask; *: all; empty: none but its own"
    )
    log_format: str = _setting("text", "text, or json: an object a line", among=("text", "json"))
    log_level: str = _setting("info", "debug, info, warning or error", among=("debug", "info", "warning", "error"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings. Raises ValueError, with one line that names the variable, for a value that does not fit
        and for a variable that begins with CATSCOPE_ and is no setting.
        """
        values: dict[str, Any] = {}
        names = {PREFIX + f.name.upper(): f for f in fields(cls)}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX):
                continue
            if variable not in names:
                raise ValueError(f"{variable} is no setting; the settings are {', '.join(names)}")
            setting = names[variable]
            values[setting.name] = _parse(variable, text.strip(), setting.default, setting.metadata)
        if "model_dir" not in values and not cls.model_dir.is_dir() and INSTALLED.is_dir():
            values["model_dir"] = INSTALLED
        return cls(**values)

    @property
    def pins(self) -> dict[str, str]:
        """`versions` as a mapping, a network's name to its version."""
        return dict(pair.split("=", 1) for pair in self.versions)

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Each setting as (environment variable, default, what it says), in order; the README and --help show it."""
        return [(PREFIX + f.name.upper(), _shown(f.default), f.metadata["says"]) for f in fields(cls)]


_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics() -> str:
    """Make a folder where several processes add up their metrics, and return it. prometheus_client looks for this variable
    when it is imported, so this comes first.
    """
    folder = tempfile.mkdtemp(prefix="catscope-metrics-")
    os.environ[_SHARED_METRICS] = folder
    return folder


def metrics_are_shared() -> bool:
    """Whether several processes add up their metrics."""
    return _SHARED_METRICS in os.environ


def tracing_is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the OpenTelemetry variables ask for traces; its own packages read the rest of them."""
    named = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return named != "none" and (bool(named) or any(environment.get(name) for name in endpoints))


def traces_exporter(environment: Mapping[str, str] = os.environ) -> str:
    """The exporter that OTEL_TRACES_EXPORTER names, `otlp` where it names none."""
    return environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"


def _shown(default: Any) -> str:
    if default == Path():
        return ""
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _parse(variable: str, text: str, default: Any, metadata: Mapping[str, Any]) -> Any:
    """The text of one variable as the type of its default, within the bounds that its metadata gives."""
    if isinstance(default, tuple):
        parts = tuple(part.strip() for part in text.split(",") if part.strip())
        if metadata.get("pairs") and not all("=" in part for part in parts):
            raise ValueError(f"{variable} is {text!r}; it must be pairs, as cat=1.0.0,tutorial=1.1.0")
        return parts
    kind = type(default)
    if kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            raise ValueError(
                f"{variable} is {text!r}; it must be {'a whole number' if kind is int else 'a number'}"
            ) from None
        least, most = metadata.get("least", number), metadata.get("most", number)
        if not least <= number <= most:
            raise ValueError(
                f"{variable} is {text}; it must be at least {least}" + (f" and at most {most}" if most != number else "")
            )
        return number
    among = metadata.get("among")
    if among and text not in among:
        raise ValueError(f"{variable} is {text!r}; it must be one of {', '.join(among)}")
    return Path(text) if isinstance(default, Path) else text
