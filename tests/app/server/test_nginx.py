"""Behind a real nginx, below a path, where nginx is installed."""

import getpass
import shutil
import socket
import subprocess
import time

import httpx2
import pytest

from tests.conftest import COMMAND, accepts, serving

CONFIGURATION = """
user {user}; daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {{
    listen 127.0.0.1:{port};
    location /cats/ {{
      proxy_pass {url}/;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-Prefix /cats;
    }}
  }}
}}
"""


@pytest.fixture
def cats(model_dir, tmp_path):
    """The address of the page below /cats/."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not nginx:
        pytest.skip("nginx is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serving(*COMMAND, model_dir=model_dir) as (_, url):
        (tmp_path / "nginx.conf").write_text(CONFIGURATION.format(port=port, url=url, user=getpass.getuser()))
        proxy = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"], stderr=subprocess.DEVNULL)
        try:
            for _ in range(400):
                if accepts(f"http://127.0.0.1:{port}"):
                    break
                assert proxy.poll() is None
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/cats/"
        finally:
            proxy.terminate()
            proxy.wait()


def test_page_api_documentation_and_redirects_work(cats, cat_photo):
    assert httpx2.get(cats).status_code == 200
    assert httpx2.get(cats + "web/main.js").status_code == 200
    answer = httpx2.post(cats + "predict?feature_maps=none", files={"file": cat_photo})
    assert answer.status_code == 200
    assert "/cats/docs/assets/swagger-ui.css" in httpx2.get(cats + "docs").text
    assert httpx2.get(cats + "openapi.json").json()["servers"] == [{"url": "/cats"}]
    redirect = httpx2.get(cats + "models/", follow_redirects=False)
    host = cats.removeprefix("http://").removesuffix("/cats/")
    assert redirect.headers["location"] == f"https://{host}/cats/models"
