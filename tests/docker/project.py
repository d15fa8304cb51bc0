"""A compose project of some profiles, with its containers and their addresses."""

import json

from tests.docker.engine import IMAGE, ROOT, compose_command, docker, free_address, run

SETTINGS = {"CATSCOPE_LOG_FORMAT": "json", "CATSCOPE_MAX_WAITING": "16"}


ASK_THE_PROXY = """
exec 3<>/dev/tcp/127.0.0.1/9901
printf 'GET /clusters?format=json HTTP/1.1\\r\\nHost: proxy\\r\\nConnection: close\\r\\n\\r\\n' >&3
cat <&3
"""


class Project:
    """A compose project with a name of its own, on ports that nothing else uses."""

    def __init__(self) -> None:
        self._compose = (*compose_command(), "--project-name", "catscope-scale")
        self._compose += ("--profile", "scale", "--profile", "observe")
        addresses = {f"PUBLISH{name}": free_address() for name in ("", "_PROXY", "_PROMETHEUS", "_GRAFANA")}
        self.alone = f"http://{addresses['PUBLISH']}"
        self.url = f"http://{addresses['PUBLISH_PROXY']}"
        self.prometheus = f"http://{addresses['PUBLISH_PROMETHEUS']}"
        self.environment = addresses | SETTINGS | {"CATSCOPE_IMAGE": IMAGE}

    def compose(self, *arguments: str) -> str:
        """What compose writes to standard output."""
        return run(*self._compose, *arguments, timeout_s=300, **self.environment).stdout

    def ids(self, service: str) -> list[str]:
        """The ids of its containers."""
        return self.compose("ps", "-q", service).split()

    def listens(self) -> bool:
        """Whether the proxy has opened its ports: its container runs before it does."""
        asked = run("docker", "exec", self.ids("proxy")[0], "bash", "-c", ASK_THE_PROXY, check=False)
        return asked.returncode == 0 and "}" in asked.stdout

    def used(self) -> set[str]:
        """The addresses to which the proxy gives photos."""
        answer = docker("exec", self.ids("proxy")[0], "bash", "-c", ASK_THE_PROXY)
        clusters = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])
        [cluster] = clusters["cluster_statuses"]
        return {
            host["address"]["socket_address"]["address"]
            for host in cluster.get("host_statuses", [])
            if host["health_status"] == {"eds_health_status": "HEALTHY"}
        }

    def whole(self) -> bool:
        """Whether the proxy gives photos to all three replicas and knows the reserve."""
        return len(self.used()) == 4


def address_of(container: str) -> str:
    """On the project's network."""
    return docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)


def images() -> dict[str, str]:
    """Each service's image, as docker-compose.yml names it."""
    return {name: service["image"] for name, service in configured("scale", "observe")["services"].items()}


def configured(*profiles: str, **environment: str) -> dict:
    """docker-compose.yml as compose resolves it."""
    import yaml

    named = [part for profile in profiles for part in ("--profile", profile)]
    result = run(*compose_command(), "--project-directory", str(ROOT), *named, "config", **environment)
    return yaml.safe_load(result.stdout)
