"""Committed results come in; what each promise of docs/reliability.md measured goes out, for docs.tables to write there.

A figure stands between `<!-- figure P1 -->` and `<!-- end -->`, below the promise of that number.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def result(name: str) -> dict[str, Any]:
    """What a benchmark last wrote; `reliability` is what the long tests recorded."""
    found: dict[str, Any] = json.loads((BENCHMARKS / f"{name}.json").read_text())
    return found


def long_test(name: str, text: str) -> Callable[[], str]:
    """The figure of a long test: its recorded members by their names in `text`. A missing one is a KeyError."""
    return lambda: text.format_map(result("reliability")[name])


def fuzzing() -> str:
    """What damaged inputs were answered, and what guided fuzzing found."""
    results = result("reliability")
    damaged, uploads, heic = (results[f"{name}"] for name in ("mutation fuzz", *GUIDED))
    errors = sum(count for status, count in damaged["statuses"].items() if status.startswith("5"))
    return (
        f"of {damaged['inputs']:,} damaged inputs {errors} were answered 5xx, and {damaged['bytes_written_to_the_log']:,} "
        f"bytes logged; coverage-guided fuzzing of uploads ({uploads['executions']:,} executions) and of HEIC "
        f"({heic['executions']:,}) found {uploads['crashes'] + heic['crashes']} crashes"
    )


GUIDED = ("coverage-guided fuzz of uploads", "coverage-guided fuzz of HEIC")


def overload() -> str:
    """What became of requests beyond saturation."""
    load = result("reliability")["four times saturation"]
    return (
        f"for {load['minutes']:g} minutes {load['sent_per_second']:g} photos a second were sent, four times the peak of "
        f"{load['peak_per_second']:g}: {load['answered_per_second']:g} were answered, the others got 503 within "
        f"{load['slowest_refusal_ms']:g} ms, {load['broken']} broke; afterwards {load['answered_per_second_afterwards']:g} "
        f"were answered; memory went from {load['resident_mb_before']:g} to {load['resident_mb_after']:g} MB"
    )


def slow_senders() -> str:
    """What slow connections cost the others."""
    slow = result("reliability")["slow-loris"]
    return (
        f"beside {slow['connections']:,} such connections at a time, {slow['told']['408']:,} told 408 in {slow['seconds']} "
        f"s, {slow['answered_per_second_during']:g} photos a second were answered instead of "
        f"{slow['answered_per_second_before']:g}, "
        f"99 % within {slow['p99_ms_during']:g} ms instead of {slow['p99_ms_before']:g}, and {slow['lost']} were lost; "
        f"memory rose from {slow['resident_mb_before']:g} to {slow['resident_mb_during']:g} MB"
    )


def remains() -> str:
    """How memory grew, and after how many requests."""
    soak = result("reliability")["100,000 requests"]
    after = {int(count): megabytes for count, megabytes in soak["resident_mb_after"].items()}
    long = result("reliability")["a million requests"]
    return (
        f"{min(after.values()):g} MB after {min(after):,} requests of every kind, {after[soak['requests']]:g} MB after "
        f"{soak['requests']:,}, {soak['growth_mb_of_the_second_half']:g} MB of growth over the second half; "
        f"in {long['hours']:g} hours of `make soak-long` with {long['requests']:,} requests, {long['reloads']} reloads and "
        f"as many networks taught and forgotten, {long['left_before_their_answer']:,} of them by clients that left, "
        f"{long['first_settled']['resident_mb']:g} MB became {long['last']['resident_mb']:g}, "
        f"{long['first_settled']['descriptors']} descriptors {long['last']['descriptors']} and "
        f"{long['first_settled']['threads']} threads {long['last']['threads']}"
    )


def hostile() -> str:
    """How long the slowest of the hostile files took, and how much memory the largest."""
    files = result("hostile")["files"]
    return (
        f"{len(files)} hostile files, at most {max(one['milliseconds'] for one in files):.1f} ms and "
        f"{max(one['megabytes'] for one in files):.1f} MB each, [one by one](#hostile-files-one-by-one)"
    )


def arithmetic() -> str:
    """How many numbers were worked out again."""
    audit = result("audit")
    units = sum(one["units"] for one in audit["networks"].values())
    largest = max(one["largest"] for one in audit["networks"].values())
    return f"{units:,} random numbers of {len(audit['networks'])} networks, the largest difference {largest:.1e}"


FIGURES: dict[str, Callable[[], str]] = {
    "P11": fuzzing,
    "P13": overload,
    "P15": slow_senders,
    "P17": remains,
    "P21": hostile,
    "P27": long_test(
        "sigterm under load", "in {times} stops under load {answered:,} requests were answered and {lost} lost"
    ),
    "P32": long_test(
        "kill -9 under load",
        "{kills} kills cost {lost_with_their_process} requests, on the {connections_of_killed_processes} connections of the "
        "processes that died, while {answered:,} were answered and {refused_connections} connections refused",
    ),
    "P57": arithmetic,
}
"""By the number of the promise."""
