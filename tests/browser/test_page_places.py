"""Where the page stands before anybody chooses: on a unit that sees the photo, not the zeros beyond its edge."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opened
from tests.browser.visitor import CAT, ask, settled


@pytest.mark.parametrize("network", ["tutorial", "cat"])
def test_the_first_place_of_a_stage_sees_only_the_photo(browser, url, network):
    side = {"tutorial": 100, "cat": 384}[network]
    with opened(browser, url, f"#network={network}") as page:
        page.set_input_files("#file", CAT)
        settled(page)
        for stage in {"tutorial": ["block1_conv", "block2_conv", "block3_relu"], "cat": ["stem", "block2"]}[network]:
            page.locator(f'#ribbon [data-stage="{stage}"]').click()
            expect(page.locator("#stage-title")).to_contain_text(stage)
            settled(page)
            place = dict(pair.split("=") for pair in page.url.partition("#")[2].split("&"))
            unit = ask(url, "explain/unit", **place)
            field = next(
                layer["receptive_field"]
                for layer in page.evaluate(f"fetch('models/{network}').then((r) => r.json())")["stages"]
                if layer["name"] == stage
            )
            for axis, index in enumerate((unit["row"], unit["column"])):
                start = field["offset"][axis] + index * field["step"][axis]
                assert start >= 0, stage
                assert start + field["size"][axis] <= side, stage
