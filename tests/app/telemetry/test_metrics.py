"""What GET /metrics counts, as Prometheus' own parser reads it."""

import json
import re

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry import metrics
from tests.conftest import ROOT, ready_client


def numbers(client) -> dict[tuple, float]:
    """Every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def change(before: dict, after: dict, name: str, **labels: str) -> float:
    key = (name, *sorted(labels.items()))
    return after[key] - before.get(key, 0)


def test_a_photo_is_counted_once_everywhere(client, cat_photo):
    before = numbers(client)
    answer = client.post("/predict?heatmap=true", files={"file": cat_photo}).json()
    after = numbers(client)
    assert change(before, after, "catscope_requests_total", route="/predict", method="POST", status="200") == 1
    assert change(before, after, "catscope_request_seconds_count", route="/predict") == 1
    assert change(before, after, "catscope_answers_total", network="tutorial", precision="float32") == 1
    assert change(before, after, "catscope_verdicts_total", network="tutorial", verdict=answer["verdict"]) == 1
    assert change(before, after, "catscope_probability_cat_count", network="tutorial") == 1
    total = change(before, after, "catscope_probability_cat_sum", network="tutorial")
    assert total == pytest.approx(answer["probabilities"]["cat"])
    for step, milliseconds in answer["timings_ms"].items():
        assert change(before, after, "catscope_step_seconds_count", step=step) == 1
        assert change(before, after, "catscope_step_seconds_sum", step=step) == pytest.approx(milliseconds / 1000)
    assert change(before, after, "catscope_bytes_total", direction="received") > len(cat_photo)
    assert change(before, after, "catscope_bytes_total", direction="sent") > 1000


def test_refusals_are_counted_by_their_reason(client, cat_photo):
    before = numbers(client)
    with ready_client(client.app.state.service.settings.model_dir, max_bytes=1000, rate_limit=1, api_keys=("a",)) as other:
        assert other.post("/predict").status_code == 401
        assert other.post("/predict", headers={"X-API-Key": "a"}, files={"file": cat_photo}).status_code == 413
        assert other.post("/predict", headers={"X-API-Key": "a"}).status_code == 429
    after = numbers(client)
    for reason in ("key", "large", "rate"):
        assert change(before, after, "catscope_shed_total", reason=reason) == 1


@pytest.mark.promise("P49")
def test_paths_and_methods_that_clients_make_up_are_not_recorded(client):
    client.get("/nothing/at/all")
    client.request("BREW", "/nothing/at/all")
    client.request("BREW", "/predict")
    client.get("/predict")
    samples = numbers(client)
    labels = {dict(key[1:]).get("route") for key in samples if key[0] == "catscope_requests_total"}
    assert not any("nothing" in label for label in labels)
    methods = {dict(key[1:])["method"] for key in samples if key[0] == "catscope_requests_total"}
    assert "GET" in methods
    assert methods <= {"", "DELETE", "GET", "HEAD", "OPTIONS", "POST"}


def test_the_networks_that_are_served_are_named(client):
    networks = client.app.state.service.networks
    metrics.models(networks.values())
    infos = [dict(key[1:]) for key, value in numbers(client).items() if key[0] == "catscope_model_info" and value == 1]
    assert {info["network"]: info["sha256"] for info in infos} == {
        name: network.sha256 for name, network in networks.items()
    }
    metrics.models([])
    infos = [value for key, value in numbers(client).items() if key[0] == "catscope_model_info"]
    assert set(infos) == {0}, "what is not served any more"
    metrics.models(networks.values())


@pytest.mark.promise("P17")
def test_nothing_is_left_in_flight_or_held(client, cat_photo):
    client.post("/predict", files={"file": cat_photo})
    after = numbers(client)
    assert after[("catscope_in_flight_requests",)] == 1, "the question itself"
    assert after[("catscope_working",)] == after[("catscope_waiting",)] == 0


def test_dashboard_and_alerts_ask_for_metrics_that_exist(client, cat_photo):
    client.post("/predict?heatmap=true", files={"file": cat_photo})
    client.portal.call(client.app.state.service.reload) if client.portal else None
    existing = {name for name, *_ in numbers(client)} | {"up"}
    existing |= {"catscope_reloads_total", "catscope_shed_total"}  # they appear when they are first counted
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "catscope.json").read_text())
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(expressions) > 20
    for expression in expressions:
        names = set(re.findall(r"\b(?:catscope|process)_\w+|\bup\b", re.sub(r'"[^"]*"', "", expression)))
        assert names, expression
        assert names <= existing, expression


def test_every_alert_says_what_it_means():
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert len(rule["annotations"]["description"]) > 30
