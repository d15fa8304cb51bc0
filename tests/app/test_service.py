"""The networks that a service finds in its store."""

import asyncio
import shutil
import time

from app.service import Service
from app.settings import Settings
from tests.conftest import command, ready_client


def test_an_unusable_network_in_the_store_stops_nothing(model_dir, tmp_path, cat_photo):
    shutil.copytree(model_dir / "tutorial", tmp_path / "networks" / "mine")
    (tmp_path / "networks" / "mine" / "model.onnx").write_bytes(b"damaged")
    with ready_client(model_dir, store=tmp_path) as client:
        assert [row["network"] for row in client.get("/models").json()["networks"]] == ["dense", "tutorial"]


def test_what_is_taught_elsewhere_is_served_here(model_dir, tmp_path):
    """Another replica with the same store, or a command, has added a network."""
    with ready_client(model_dir, store=tmp_path) as client:
        shutil.copytree(model_dir / "tutorial", tmp_path / "other")
        (tmp_path / "other").rename(tmp_path / "networks" / "other")
        for _ in range(200):
            names = [row["network"] for row in client.get("/models").json()["networks"]]
            if "other" in names:
                break
            time.sleep(0.1)
        assert names == ["dense", "tutorial", "other"]
        assert "block1_conv" in command("inspect", "other", model_dir=model_dir, store=tmp_path).stdout


def test_a_network_that_arrives_between_loading_and_the_first_look_is_served(model_dir, tmp_path):
    service = Service(Settings(model_dir=model_dir, store=tmp_path))

    async def arrives() -> None:
        service.open_store()
        service.load()
        shutil.copytree(model_dir / "tutorial", tmp_path / "networks" / "other")
        watching = asyncio.create_task(service.watch_store())
        for _ in range(200):
            if "other" in service.networks:
                break
            await asyncio.sleep(0.1)
        watching.cancel()

    asyncio.run(arrives())
    assert list(service.networks) == ["dense", "tutorial", "other"]
