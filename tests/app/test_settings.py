from pathlib import Path

import pytest

from app.settings import Settings


def test_without_variables_the_defaults_hold():
    assert Settings.from_environment({"PATH": "/bin"}) == Settings()


def test_each_kind_of_value_is_read():
    settings = Settings.from_environment(
        {
            "CATSCOPE_PORT": " 9000 ",
            "CATSCOPE_MODEL_DIR": "/models",
            "CATSCOPE_DEADLINE_S": "2.5",
            "CATSCOPE_API_KEYS": "alpha, beta,",
            "CATSCOPE_ENGINE": "keras",
        }
    )
    assert settings == Settings(
        port=9000, model_dir=Path("/models"), deadline_s=2.5, api_keys=("alpha", "beta"), engine="keras"
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CATSCOPE_PORT", "many", "'many'; it must be a whole number"),
        ("CATSCOPE_PORT", "70000", "at least 0 and at most 65535"),
        ("CATSCOPE_MAX_BYTES", "0", "at least 1"),
        ("CATSCOPE_DEADLINE_S", "nan", "at least 0.001"),
        ("CATSCOPE_ENGINE", "torch", "one of onnx, keras"),
        ("CATSCOPE_CORS_ORIGINS", "https://cats.example/page", "an origin is a scheme and a host"),
        ("CATSCOPE_CORS_ORIGINS", "https://cats.example,cats.example", "'cats.example'"),
        ("CATSCOPE_ROOT_PATH", "/a b", "a path such as /cats"),
        ("CATSCOPE_PROT", "1", "is not a setting; the settings are CATSCOPE_HOST"),
    ],
)
def test_an_invalid_value_is_refused_by_name(variable, value, message):
    with pytest.raises(ValueError, match=variable) as error:
        Settings.from_environment({variable: value})
    assert message in str(error.value)


def test_the_table_names_every_setting_with_its_default():
    rows = {name: default for name, default, _ in Settings.table()}
    assert rows["CATSCOPE_PORT"] == "8000"
    assert len(rows) == len(Settings.__dataclass_fields__)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_means_its_default(text):
    """CATSCOPE_HOST= would listen on all addresses."""
    empty = {name: text for name, _, _ in Settings.table()}
    assert Settings.from_environment(empty) == Settings()


def test_a_variable_of_the_compose_file_is_no_mistake():
    assert Settings.from_environment({"CATSCOPE_IMAGE": "catscope:local"}) == Settings()


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ("*",)),
        ("https://cats.example/", ("https://cats.example",)),
        ("HTTPS://Cats.example, http://[::1]:8000/", ("https://cats.example", "http://[::1]:8000")),
    ],
)
def test_origins_are_those_that_browsers_send(text, origins):
    assert Settings.from_environment({"CATSCOPE_CORS_ORIGINS": text}).cors_origins == origins


@pytest.mark.parametrize("text", ["/cats", "cats", "/cats/", "cats/"])
def test_the_path_of_a_proxy_may_be_written_with_or_without_slashes(text):
    assert Settings.from_environment({"CATSCOPE_ROOT_PATH": text}).root_path == "/cats"


@pytest.mark.promise("P43")
@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (Settings(), "nothing"),
        (Settings(keep="unsure"), "nothing"),
        (Settings(keep="unsure", store=Path("/var/lib/catscope")), "unsure"),
        (Settings(keep="corrections", keep_photos="s3://bucket", keep_database="postgresql://host/db"), "corrections"),
    ],
)
def test_photos_are_kept_only_where_a_place_for_them_is_named(settings, kept):
    assert settings.kept_photos == kept
