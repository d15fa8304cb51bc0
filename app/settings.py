"""Every setting of the service in one frozen `Settings`; the environment is read, and written, here and nowhere else."""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from app.inference.decode import MAX_PIXELS

PREFIX = "CATSCOPE_"

ELSEWHERE = ("CATSCOPE_IMAGE",)
"""Variables of that name that docker-compose.yml reads: no settings, but no mistake where the service gets them."""

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
PREFIX_PATH = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){1,10}")

INSTALLED = Path(__file__).parents[0 if __package__ == "catscope" else 1] / "model"
"""The folder of networks: beside app/ in a checkout, inside of the package that the wheel makes of it (tools/wheel.py)."""


def _setting(default: Any, description: str, **limits: Any) -> Any:
    return field(default=default, metadata={"description": description} | limits)


@dataclass(frozen=True)
class Settings:
    """The service's settings; each is read from the environment variable CATSCOPE_ plus its name in capitals."""

    host: str = _setting(
        "127.0.0.1", "address to listen on; 0.0.0.0 for all, :: for all of IPv6 and, where the system can, IPv4"
    )
    port: int = _setting(8000, "port to listen on", minimum=0, maximum=65535)
    model_dir: Path = _setting(
        Path("model"),
        "folder with one subfolder per network; where model/ has no network, those installed with the package",
    )
    engine: str = _setting(
        "onnx", "engine that runs the networks: onnx, or keras (needs TensorFlow)", choices=("onnx", "keras")
    )
    precision: str = _setting(
        "auto",
        "what answers where nobody looks inside: float32, int8 (the network's twin in 8-bit integers, where it has one), "
        "or auto: int8 where the CPU makes that worth it",
        choices=("auto", "float32", "int8"),
    )
    cage: str = _setting(
        "rare",
        "photos that are decoded in processes without rights, so that a bug in a parser costs one photo: rare (HEIC, AVIF "
        "and TIFF), all, or none",
        choices=("none", "rare", "all"),
    )
    require_signed: str = _setting(
        "false",
        "true: every network of the model folder must be signed by who CATSCOPE_SIGNED_BY names",
        choices=("false", "true"),
    )
    signed_by: str = _setting("", "whose signatures are trusted: the file of a public key, or an identity")
    signed_issuer: str = _setting(
        "", "who vouches for that identity, as Sigstore knows it; empty: CATSCOPE_SIGNED_BY is a file"
    )
    network: str = _setting("", "default network of requests that name none; empty: cat, else tutorial, else the first")
    versions: tuple[str, ...] = _setting(
        (), "comma-separated version pins such as cat=1.0.0; other networks serve their newest version", pairs=True
    )
    processes: int = _setting(
        1, "number of serving processes; if there are several, one that dies is replaced", minimum=1, maximum=256
    )
    threads: int = _setting(0, "photos that each process works on at once; 0: one per core", minimum=0, maximum=1024)
    max_bytes: int = _setting(20 * 1024 * 1024, "largest request body in bytes", minimum=1)
    max_pixels: int = _setting(
        MAX_PIXELS, "most pixels that are decoded; a JPEG, decoded at a fraction, may have 8 times as many", minimum=1
    )
    max_waiting: int = _setting(64, "requests that may wait for a thread; further ones get 503", minimum=0)
    max_held_bytes: int = _setting(
        256 * 1024 * 1024, "bytes of photos in memory at once; beyond that, requests get 503", minimum=1
    )
    keep_alive_s: int = _setting(75, "seconds that an idle connection stays open", minimum=1)
    deadline_s: float = _setting(10.0, "seconds until a request gets 504, waiting included", minimum=0.001)
    api_keys: tuple[str, ...] = _setting(
        (), "comma-separated API keys, one of which every request must send; empty: no key needed"
    )
    api_keys_file: Path = _setting(
        Path(), "file with further keys, one per line; read again when it changes, so that keys can be replaced"
    )
    rate_limit: int = _setting(0, "requests per minute from one key or address; 0: no limit", minimum=0)
    cors_origins: tuple[str, ...] = _setting(
        (),
        "comma-separated origins whose pages may call it, such as https://cats.example; *: all; empty: only its own",
        origins=True,
    )
    root_path: str = _setting(
        "",
        "path below which a proxy serves it, such as /cats, unless the proxy sends X-Forwarded-Prefix; empty: /",
        path=True,
    )
    store: Path = _setting(
        Path(),
        "folder for what people teach, and for their corrections; empty: nothing can be taught or corrected over HTTP",
    )
    max_teach_bytes: int = _setting(
        512 * 1024 * 1024, "largest request body of POST /teach in bytes; it goes to the store, not into memory", minimum=1
    )
    keep: str = _setting(
        "nothing",
        "photos that the store keeps: nothing, corrections, or unsure (corrections, and photos whose verdict was unsure)",
        choices=("nothing", "corrections", "unsure"),
    )
    keep_days: int = _setting(90, "days until kept photos are deleted; 0: never", minimum=0)
    keep_bytes: int = _setting(
        2 * 1024**3,
        "bytes that kept photos may take together; beyond it the oldest unsure ones make room; 0: no limit",
        minimum=0,
    )
    keep_photos: str = _setting("", "where they are kept, a URL such as s3://bucket/folder; empty: a folder of the store")
    keep_database: str = _setting(
        "", "where all else about them is kept, postgresql://...; empty: a SQLite file in the store"
    )
    log_format: str = _setting("text", "text, or json: one object per line", choices=("text", "json"))
    log_level: str = _setting("info", "debug, info, warning or error", choices=("debug", "info", "warning", "error"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings. Raises ValueError, with one line that names the variable, for an invalid value and for
        an unknown variable that begins with CATSCOPE_.
        """
        values: dict[str, Any] = {}
        names = {PREFIX + f.name.upper(): f for f in fields(cls)}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX):
                continue
            if variable in ELSEWHERE:
                continue
            if variable not in names:
                raise ValueError(f"{variable} is not a setting; the settings are {', '.join(names)}")
            if not text.strip():
                continue  # set to nothing, as compose files do: the default
            setting = names[variable]
            values[setting.name] = _parse(variable, text.strip(), setting.default, setting.metadata)
        if "model_dir" not in values and not _has_network(cls.model_dir) and INSTALLED.is_dir():
            values["model_dir"] = INSTALLED
        return cls(**values)

    @property
    def networks(self) -> tuple[Path, ...]:
        """The folders that networks are served from: `model_dir` and, where there is a store, what was taught."""
        return (self.model_dir, self.taught) if self.has_store else (self.model_dir,)

    @property
    def has_store(self) -> bool:
        """Whether there is a folder for what people teach."""
        return self.store != Path()

    @property
    def taught(self) -> Path:
        """The store's folder of networks."""
        return self.store / "networks"

    @property
    def can_keep(self) -> bool:
        """Whether the settings say where corrections can be kept: in the store, or photos and all else elsewhere."""
        return self.has_store or bool(self.keep_photos and self.keep_database)

    @property
    def kept_photos(self) -> str:
        """Which photos are kept, as `keep` says; `nothing` where no place for them is named."""
        return self.keep if self.can_keep else "nothing"

    @property
    def pins(self) -> dict[str, str]:
        """`versions` as a mapping, a network's name to its version."""
        return dict(pair.split("=", 1) for pair in self.versions)

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Each setting as (environment variable, default, description), in order; the README and --help show it."""
        return [(PREFIX + f.name.upper(), _shown(f.default), f.metadata["description"]) for f in fields(cls)]


_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics() -> str:
    """Make the folder through which several processes share their metrics, and return it. Call this before prometheus_client
    is imported: it reads the variable then.
    """
    folder = tempfile.mkdtemp(prefix="catscope-metrics-")
    os.environ[_SHARED_METRICS] = folder
    return folder


def metrics_are_shared() -> bool:
    """Whether several processes share their metrics."""
    return _SHARED_METRICS in os.environ


def one_thread() -> dict[str, str]:
    """The environment of a process that is to leave the other cores alone: NumPy's matrix products take all of them."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def bare() -> dict[str, str]:
    """The environment of a process that decodes photos: what Python and its libraries are found by, and no keys."""
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"OPENBLAS_NUM_THREADS": "1"}


def tracing_is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the OpenTelemetry variables ask for traces; its own packages read the rest of them."""
    named = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return named != "none" and (bool(named) or any(environment.get(name) for name in endpoints))


def trusted_proxies(environment: Mapping[str, str] = os.environ) -> str:
    """The addresses whose forwarded headers are believed, as uvicorn names them: FORWARDED_ALLOW_IPS, or this machine."""
    return environment.get("FORWARDED_ALLOW_IPS", "").strip() or "127.0.0.1,::1"


def traces_exporter(environment: Mapping[str, str] = os.environ) -> str:
    """The exporter that OTEL_TRACES_EXPORTER names, `otlp` where it names none."""
    return environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"


def choose_stable_conventions() -> None:
    """Let OpenTelemetry's instrumentation use the stable names of the HTTP conventions. Without this it uses those of 2021,
    such as http.status_code; it looks for this variable when it is installed.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")


def _has_network(folder: Path) -> bool:
    """Whether there is a network, or a version of one, in a folder; somebody else's model/ has other things."""
    return any(True for depth in ("*", "*/*") for _ in folder.glob(f"{depth}/contract.json"))


def _shown(default: Any) -> str:
    if default == Path():
        return ""
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _parse(variable: str, text: str, default: Any, metadata: Mapping[str, Any]) -> Any:
    """The text of one variable as the type of its default, within the limits in its metadata."""
    if isinstance(default, tuple):
        parts = tuple(part.strip() for part in text.split(",") if part.strip())
        if metadata.get("pairs") and not all("=" in part for part in parts):
            raise ValueError(f"{variable} is {text!r}; it must be pairs such as cat=1.0.0,tutorial=1.1.0")
        return tuple(_origin(variable, part) for part in parts) if metadata.get("origins") else parts
    kind = type(default)
    if kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            raise ValueError(
                f"{variable} is {text!r}; it must be {'a whole number' if kind is int else 'a number'}"
            ) from None
        minimum, maximum = metadata.get("minimum", number), metadata.get("maximum", number)
        if not minimum <= number <= maximum:
            raise ValueError(
                f"{variable} is {text}; it must be at least {minimum}"
                + (f" and at most {maximum}" if maximum != number else "")
            )
        return number
    choices = metadata.get("choices")
    if choices and text not in choices:
        raise ValueError(f"{variable} is {text!r}; it must be one of {', '.join(choices)}")
    if metadata.get("path"):
        text = "/" + text.strip("/")
        if not PREFIX_PATH.fullmatch(text):
            raise ValueError(f"{variable} is {text!r}; it must be a path such as /cats")
    return Path(text) if isinstance(default, Path) else text


def _origin(variable: str, text: str) -> str:
    """An origin as browsers send it, without the slash that people copy from the address bar."""
    origin = text.rstrip("/").lower()
    if text != "*" and not ORIGIN.fullmatch(origin):
        raise ValueError(f"{variable} has {text!r}; an origin is a scheme and a host, such as https://cats.example")
    return origin or text
