"""Options of a request: in the query or in the form, and what happens to names that nobody knows."""

import pytest


def ask(client, photo: bytes, query: str = "", path: str = "/predict", **fields: str):
    return client.post(path + query, files={"file": photo}, data=fields)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/predict", "feature_maps=summary&stages=dense1&stages=scores&channels=2&heatmap=true&network=dense"),
        ("/explain/stage", "stage=block1_relu&channel=3&network=tutorial"),
        ("/explain/unit", "stage=block1_relu&row=3&column=5&channel=2&network=tutorial"),
    ],
)
def test_options_in_the_form_count_like_those_in_the_query(client, cat_photo, path, query):
    fields: dict[str, list[str]] = {}
    for pair in query.split("&"):
        name, value = pair.split("=")
        fields.setdefault(name, []).append(value)
    expected = client.post(f"{path}?{query}", files={"file": cat_photo}).json()
    answer = client.post(path, files={"file": cat_photo}, data=fields)
    assert answer.status_code == 200
    expected.pop("timings_ms", None)
    assert {name: value for name, value in answer.json().items() if name != "timings_ms"} == expected


def test_some_options_in_the_query_and_some_in_the_form(client, cat_photo):
    answer = ask(client, cat_photo, "?network=tutorial&feature_maps=summary", stages="block1_conv").json()
    assert answer["model"]["network"] == "tutorial"
    assert [stage["stage"] for stage in answer["feature_maps"]] == ["block1_conv"]


def test_an_option_in_the_form_is_checked_like_one_in_the_query(client, cat_photo):
    assert ask(client, cat_photo, network="lion").status_code == 404
    refused = ask(client, cat_photo, channels="65")
    assert (refused.status_code, "channels" in refused.json()["detail"]) == (422, True)


def test_an_option_that_is_no_text_is_refused(client, cat_photo):
    answer = client.post("/predict", files={"file": cat_photo, "network": b"\xff\xfe"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "The option network is not text in UTF-8.")


def test_an_option_of_a_megabyte_is_refused(client, cat_photo):
    answer = ask(client, cat_photo, network="x" * 1_000_000)
    assert (answer.status_code, "at most 65536" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "name", "near"),
    [
        ("/predict", "heatmaps", "heatmap"),
        ("/predict", "Network", "network"),
        ("/predict/batch", "feature_map", "feature_maps"),
        ("/explain/unit", "colum", "column"),
        ("/feature-maps", "stage", "stages"),
    ],
)
def test_a_misspelt_option_is_refused_with_the_nearest_that_is_known(client, cat_photo, path, name, near):
    part = "files" if path.endswith("batch") else "file"
    required = "?stage=scores&channel=0" if path == "/explain/unit" else "?"
    in_query = client.post(f"{path}{required}&{name}=1", files={part: cat_photo})
    assert (in_query.status_code, f"did you mean {near}?" in in_query.json()["detail"]) == (422, True)
    in_form = client.post(path + required, files={part: cat_photo}, data={name: "1"})
    assert (in_form.status_code, f"did you mean {near}?" in in_form.json()["detail"]) == (422, True)


@pytest.mark.parametrize("path", ["/models", "/models/tutorial", "/v2", "/v2/models/tutorial"])
def test_unknown_names_are_refused_without_a_photo_too(client, path):
    assert client.get(f"{path}?colour=red").status_code == 422


def test_names_that_caches_and_campaigns_add_are_ignored(client, cat_photo):
    assert ask(client, cat_photo, "?_=17&utm_source=mail&network=dense", _token="x").status_code == 200
    assert client.get("/models?_=17").status_code == 200


def test_a_photo_under_another_name_is_refused_with_the_names_that_came(client, cat_photo):
    answer = client.post("/predict", files={"image": cat_photo})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The part file is missing. The form has the part 'image'."
    many = client.post("/predict", files=[(f"photo{number}", cat_photo) for number in range(8)]).json()["detail"]
    assert "'photo4' and 3 more." in many


def test_probes_and_scrapers_may_add_what_they_like(client):
    assert client.get("/health/live?time=1").status_code == 200
    assert client.get("/metrics?name[]=up").status_code == 200


def test_the_page_keeps_its_own_names(client):
    assert client.get("/?lesson=3").status_code == 200
