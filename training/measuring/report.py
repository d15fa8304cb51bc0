"""Metrics of one or more networks come in; Markdown tables go out."""

from typing import Any

from training.measuring.disguises import DISGUISES

POOLED = "pooled"
MEASURES = ("accuracy", "recall", "false_alarm_rate", "roc_auc", "calibration_error", "decided_accuracy", "unsure")


def table(results: dict[str, dict[str, Any]], references: dict[str, Any] | None = None) -> str:
    """Markdown tables: each set's figures by network; where kinds are known, the share that each network gets right of each
    kind, the worst first; and the chapter's claim, the pooled accuracy in every disguise.

    Args:
        results: metrics by network, as `training.tasks.evaluate` returns them.
        references: what training.studies.baselines wrote, if its models are to stand beside the networks.
    """
    parts = [_sets(results, references), _kinds(results), _disguises(results)]
    return "\n\n".join(part for part in parts if part)


def _sets(results: dict[str, dict[str, Any]], references: dict[str, Any] | None) -> str:
    lines = ["| set | network | accuracy | recall | false alarms | AUC | ECE | decided right | unsure |"]
    lines.append("|---|---|" + "---|" * 7)
    for name, first in next(iter(results.values()))["sets"].items():
        for index, network in enumerate(results):
            figures = results[network]["sets"][name]
            cells = [_cell(figures[measure], interval=measure == "accuracy") for measure in MEASURES]
            heading = f"{name}, {first['photos']} photos" if index == 0 else ""
            lines.append("| " + " | ".join([heading, network, *cells]) + " |")
        others = references["sets"].get(name, {}) if references else {}
        for model in [model for model in others if model != "photos"]:
            cells = [_cell(others[model].get(measure), interval=measure == "accuracy") for measure in MEASURES]
            lines.append("| " + " | ".join(["", model, *cells]) + " |")
    return "\n".join(lines)


def _kinds(results: dict[str, dict[str, Any]]) -> str:
    """Each kind's row is where the first network puts it: by what it gets right, from the least to the most."""
    by_network = {
        network: {
            (name, entry["class"], entry["kind"]): entry
            for name, figures in metrics["sets"].items()
            if name != POOLED
            for entry in figures.get("kinds", [])
        }
        for network, metrics in results.items()
    }
    rows = sorted(next(iter(by_network.values())).items(), key=lambda row: row[1]["accuracy"]["value"])
    if not rows:
        return ""
    lines = ["| set | class | kind | photos | " + " | ".join(f"{network}, right" for network in results) + " |"]
    lines.append("|---|---|---|---|" + "---|" * len(results))
    for key, first in rows:
        cells = [_cell(by_network[network][key]["accuracy"], interval=True) for network in results]
        lines.append("| " + " | ".join([*key, str(first["photos"]), *cells]) + " |")
    return "\n".join(lines)


def _disguises(results: dict[str, dict[str, Any]]) -> str:
    names = list(results)
    lines = [f"| accuracy, {POOLED} sets | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines.append("| parameters | " + " | ".join(f"{results[name]['parameters']:,}" for name in names) + " |")
    for guise in DISGUISES:
        cells = [_cell(results[name]["sets"][POOLED]["guises"][guise], interval=True) for name in names]
        lines.append(f"| {guise.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: dict[str, float] | None, interval: bool) -> str:
    if figure is None:
        return "–"
    return f"{figure['value']:.3f}" + (f" ({figure['low']:.3f}–{figure['high']:.3f})" if interval else "")
