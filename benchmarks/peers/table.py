"""Markdown tables of the results of all servers."""

from benchmarks.peers.servers import OURS, PEERS, VARIANTS

WAYS = {"documented": "as its documentation shows", "ours": "our preprocessing and session"}
MIXES = {"web": "web photos", "phone": "phone photos"}
LOADS = {"half": "at 50 %", "most": "at 80 %", "twice": "at twice its saturation"}


def tables(result: dict) -> str:
    """A table of everything but latency, one of latency for each mix, and the servers that could not be run."""
    rows = list(_rows(result["servers"]))
    fine = [(title, way, one) for title, way, one in rows if "error" not in one]
    parts = [_overview(fine)]
    parts += [f"{title[0].upper()}{title[1:]}:\n\n{_latency(fine, mix)}" for mix, title in MIXES.items()]
    parts += [f"{title}, {way}, could not be run: {one['error']}" for title, way, one in rows if "error" in one]
    return "\n\n".join(parts)


def _rows(servers: dict) -> list[tuple[str, str, dict]]:
    """Title, way and result of each variant that was measured, ours first."""
    ours = [(OURS.title, "as it is", servers[OURS.name]["ours"])] if OURS.name in servers else []
    return ours + [
        (peer.title, WAYS[variant] if len(peer.variants) > 1 else "as tutorials show", servers[name][variant])
        for name, peer in PEERS.items()
        for variant in VARIANTS
        if variant in servers.get(name, {})
    ]


def short(result: dict) -> str:
    """A short table: how many times as fast Catscope was as each server, and the memory of both."""
    lines = ["| beside | set up | web photos | phone photos | its memory |", "|---|---|---|---|---|"]
    for title, way, one in _rows(result["servers"]):
        if "error" in one:
            continue
        times = [one["mixes"][mix].get("ours_is_times") for mix in MIXES]
        cells = [f"{ratio:.2f} times" if ratio else "1" for ratio in times]
        lines.append(f"| {title} | {way} | {' | '.join(cells)} | {one['memory_after_load']['pss_megabytes']:.0f} MB |")
    return "\n".join(lines)


def _overview(rows: list[tuple[str, str, dict]]) -> str:
    lines = [
        "| server | set up | web photos | Catscope beside it | phone photos | Catscope beside it "
        "| start to first answer | memory (PSS) | installed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for title, way, one in rows:
        cells = [title if "version" not in one else f"{title} {one['version']}", way]
        for mix in MIXES:
            row = one["mixes"][mix]
            cells.append(f"{row['saturated']['per_second']:.1f}/s")
            cells.append(
                f"{row['ours_per_second']:.1f}/s, {row['ours_is_times']:.2f} times" if "ours_is_times" in row else ""
            )
        cells += [
            f"{one['seconds_to_first_answer']:.1f} s",
            f"{one['memory_after_load']['pss_megabytes']:.0f} MB",
            f"{one['installed_megabytes']:.0f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _latency(rows: list[tuple[str, str, dict]], mix: str) -> str:
    """Milliseconds of the answers at each load, p50 / p95 / p99."""
    lines = [f"| server | set up | {' | '.join(LOADS.values())} |", "|---|---|---|---|---|"]
    for title, way, one in rows:
        cells = [_load(one["mixes"][mix][load]) for load in LOADS]
        lines.append(f"| {title} | {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _load(row: dict) -> str:
    times = [row[name] for name in ("p50_ms", "p95_ms", "p99_ms")]
    cell = "no answer" if None in times else f"{times[0]:.0f} / {times[1]:.0f} / {times[2]:.0f} ms"
    others = {status: count for status, count in row["statuses"].items() if status != "200"}
    notes = [f"{count} of {row['sent']} answered {status}" for status, count in others.items()]
    if row["slowest_refusal_ms"] is not None:
        notes.append(f"the slowest of these in {row['slowest_refusal_ms']:.0f} ms")
    if row["broken"]:
        notes.append(f"{row['broken']} of {row['sent']} not answered")
    return "; ".join([cell, *notes])
