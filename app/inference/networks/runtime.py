"""ONNX Runtime: a model's bytes or file come in, a session that runs it goes out."""

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_ONE_AT_A_TIME = threading.Lock()


def session(model: bytes | Path) -> Any:
    """An ONNX Runtime session on the CPU, one thread per pass, for a serialized model or its file."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def passing_session(model: Callable[[], bytes]) -> Any:
    """A session for a question or two. Making one takes several times the model's size for a moment, so only one is made at
    once, and what the C library would retain is returned to the system.
    """
    with _ONE_AT_A_TIME:
        made = session(model())
        release_memory()
    return made


def release_memory() -> None:
    """Return memory that was freed to the system; the C library would retain it. (Only glibc can do this.)"""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@functools.cache
def import_onnxruntime() -> ModuleType:
    """ONNX Runtime, imported on first use, with its telemetry off and one memory arena for all sessions.

    Since 1.32 its Linux builds send telemetry to Microsoft unless that is disabled before the import (see its Privacy.md); a
    service for people's photos must not. Passes allocate from the arena: shared by all sessions, and grown by the requested
    size instead of to the next power of two, it takes less memory.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    growth = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(growth))
    module: ModuleType = onnxruntime
    return module
