"""Services in threads of this process, and Debian's Chromium to visit them with."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import uvicorn
from PIL import Image
from playwright.sync_api import expect

from benchmarks.chromium import CHROMIUM
from tests.browser.teaching import EACH, SOURCES
from tests.browser.visitor import CAT, TIMELINE, TUTORIAL, settled, stands_at
from tests.conftest import ROOT, encoded, sha256

PATIENCE_MS = 60_000  # a machine may be busy with other tests, or with building an image
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.skipif(not CHROMIUM, reason="Debian's chromium is not installed"))


@contextmanager
def service(model_dir: Path, **settings: object) -> Iterator[str]:
    """The address of a service on a free port, once it is ready."""
    from app.main import create_app
    from app.settings import Settings

    app = create_app(Settings(model_dir=model_dir, **settings))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not (server.started and server.servers[0].sockets and app.state.service.ready):
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="session", autouse=True)
def each_photo_is_disguised_once() -> Iterator[None]:
    """Every photo that the page is given is disguised twelve times for every network. That was half of the time of these
    tests, and most of them show the same photo; tests/app tests the guises themselves.
    """
    from app.routes import predict

    known: dict[tuple[str, ...], object] = {}

    def once(data: bytes, networks, *options):
        key = (sha256(data), *(network.sha256 for network in networks.values()))
        if key not in known:
            known[key] = compare(data, networks, *options)
        return known[key]

    compare = predict.compare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "compare", once)
        yield


@pytest.fixture(scope="session")
def untrained_url(model_dir: Path) -> Iterator[str]:
    with service(model_dir) as url:
        yield url


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The service as it is shipped."""
    with service(ROOT / "model") as url:
        yield url


@pytest.fixture(scope="session")
def teaching_url(tmp_path_factory) -> Iterator[str]:
    """The service as it is shipped, with a store."""
    with service(ROOT / "model", store=tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder with a folder of crops for each of three classes, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("taught") / "things"
    random = np.random.default_rng(7)
    for name, source in SOURCES.items():
        (folder / name).mkdir(parents=True)
        image = Image.open(Path(skimage.data.__file__).parent / source).convert("RGB")
        for number in range(EACH):
            side = int(random.integers(120, 240))
            x, y = int(random.integers(0, image.width - side)), int(random.integers(0, image.height - side))
            crop = image.crop((x, y, x + side, y + side)).resize((120, 120))
            (folder / name / f"{number}.jpg").write_bytes(encoded(crop, "JPEG"))
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A sharp photo of 12 megapixels, 5 MB."""
    noise = np.random.default_rng(1).normal(0, 14, (3000, 4000, 3))
    pixels = np.asarray(Image.open(CAT).resize((4000, 3000), Image.Resampling.LANCZOS), float) + noise
    path = tmp_path_factory.mktemp("photos") / "large.jpg"
    path.write_bytes(encoded(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), "JPEG", quality=88))
    assert path.stat().st_size > 3_000_000
    return path


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--use-fake-device-for-media-stream",  # a camera that shows a test picture
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield chromium
        chromium.close()


SAVES_DATA = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } })"
"""What a browser says for visitors who asked it to load little: the page then waits for their photo."""


@contextmanager
def visit(browser, url: str, greeted: bool = False, **options):
    """A new page, empty or `greeted` by Chelsea, with `elsewhere`: requests to other hosts, and `complaints`: errors of its scripts."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 1000}} | options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    if not greeted:
        page.add_init_script(SAVES_DATA)
    page.elsewhere, page.complaints = [], []
    page.on("request", lambda request: request.url.startswith((url, "data:", "blob:")) or page.elsewhere.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: message.type == "error" and "status of" not in message.text and page.complaints.append(message.text),
    )
    yield page
    context.close()


@contextmanager
def opened(browser, url: str, fragment: str = "", **options):
    """The page at a fragment, ready to take a photo; at the end no other host was contacted and no script failed."""
    with visit(browser, url, **options) as page:
        page.goto(f"{url}/{fragment}")
        page.locator("#network option").first.wait_for(state="attached")
        yield page
        assert page.elsewhere == []
        assert page.complaints == []


@contextmanager
def teach(browser, url: str, **options):
    """The act "Teach", opened by its address."""
    with opened(browser, url, "?teach", **options) as page:
        expect(page.locator(".class-column")).to_have_count(2)
        expect(page.locator(".kept-here li").first).to_be_visible()
        yield page


@pytest.fixture
def page(browser, url):
    with opened(browser, url) as page:
        yield page


@pytest.fixture
def page_with_cat(page):
    """The page after a photo of a cat was picked."""
    page.set_input_files("#file", CAT)
    settled(page)
    return page


@pytest.fixture
def tutorial(browser, url):
    """The same with the chapter's network, at a stage that the address names."""
    with opened(browser, url, TUTORIAL) as page:
        page.set_input_files("#file", CAT)
        settled(page)
        yield page


@pytest.fixture
def timeline(browser, url):
    """Opens the timeline at an epoch."""
    with ExitStack() as pages:

        def at(epoch: int, **options):
            page = pages.enter_context(opened(browser, url, f"{TIMELINE}{epoch}", **options))
            stands_at(page, epoch)
            return page

        yield at
