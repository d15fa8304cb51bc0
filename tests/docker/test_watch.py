"""The real Prometheus collects the replicas' metrics, and can answer every query of the dashboard."""

import json
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.docker.engine import ROOT, at_once, docker, post, wait_until
from tests.docker.project import Project, configured, images
from tests.docker.public import provide

pytestmark = pytest.mark.docker

GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "catscope.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
NEVER = {'sum(increase(catscope_requests_total{status="500",instance=~"$instance"}[$__range]))'}
"""Counts internal errors of the service, which a test cannot provoke."""


def query_prometheus(project: Project, path: str, **query: str) -> dict:
    """What Prometheus answers."""
    answer = httpx2.get(f"{project.prometheus}/api/v1/{path}", params=query, trust_env=False).json()
    assert answer["status"] == "success", answer
    return answer["data"]


def test_promtool_accepts_the_configuration_and_the_rules(engine: None) -> None:
    provide(images()["prometheus"])
    mounted = ("--volume", f"{ROOT / 'deploy' / 'prometheus'}:/etc/prometheus:ro", "--entrypoint", "promtool")
    output = docker("run", "--rm", *mounted, images()["prometheus"], "check", "config", "/etc/prometheus/prometheus.yml")
    assert "SUCCESS: 9 rules found" in output


def test_prometheus_says_that_it_is_ready(scaled: Project) -> None:
    [prometheus] = scaled.ids("prometheus")
    wait_until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", prometheus) == "healthy", "healthy")


def test_the_proxy_says_that_it_is_healthy(scaled: Project) -> None:
    [proxy] = scaled.ids("proxy")
    wait_until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", proxy) == "healthy", "healthy")


def test_prometheus_collects_from_every_replica_and_from_the_reserve(scaled: Project) -> None:
    wait_until(lambda: len(up(scaled)) == 4, "all are up")


def up(project: Project) -> set[str]:
    """The addresses that Prometheus reaches."""
    return {
        target["scrapeUrl"] for target in query_prometheus(project, "targets")["activeTargets"] if target["health"] == "up"
    }


def test_prometheus_evaluates_every_rule(scaled: Project) -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]

    def health_by_rule() -> dict[str, str]:
        groups = query_prometheus(scaled, "rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    wait_until(
        lambda: health_by_rule() == {rule["alert"]: "ok" for rule in rules}, "all rules were looked at without an error"
    )


def test_there_is_an_answer_to_every_query_of_the_dashboard(scaled: Project, cat_photo: bytes) -> None:
    variables = {"$instance": ".+", "$__rate_interval": "1m", "$__range": "1h"}

    def unanswered() -> list[str]:
        assert post(scaled.url, cat_photo).status_code == 200
        none = []
        for query in QUERIES:
            expression = query
            for name, value in variables.items():
                expression = expression.replace(name, value)
            samples = query_prometheus(scaled, "query", query=expression)["result"]
            if not any(sample["value"][1] != "NaN" for sample in samples):
                none.append(query)
        return none

    assert 503 in {answer.status for answer in at_once(scaled.url, 150)}, "there are refusals to ask for"
    wait_until(lambda: set(unanswered()) <= NEVER, "all queries are answered", timeout_s=75)


def test_grafana_finds_its_dashboard_and_prometheus_where_compose_puts_them(engine: None) -> None:
    services = configured("observe")["services"]
    lies = {}
    for volume in services["grafana"]["volumes"]:
        source, target = volume.split(":")[:2] if isinstance(volume, str) else (volume["source"], volume["target"])
        lies[target] = Path(source)
    assert lies["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/catscope.yml").read_text())["providers"]
    dashboard = f"{provider['options']['path']}/catscope.json"
    assert lies[dashboard] == GRAFANA / "catscope.json"
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == dashboard
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services


def test_the_dashboard_asks_whichever_prometheus_is_chosen() -> None:
    [chooser] = [variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "datasource"]
    assert chooser["query"] == "prometheus"
    sources = [panel["datasource"] for panel in DASHBOARD["panels"]]
    assert all(source == {"type": "prometheus", "uid": f"${{{chooser['name']}}}"} for source in sources)
