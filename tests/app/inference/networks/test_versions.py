"""The versions of networks that lie in folders: which are found, which is the default, and what is said of the others."""

import json
from pathlib import Path

import pytest

from app.errors import NetworkError
from app.inference.networks import contract, versions
from app.settings import Settings

CONTRACT = {
    "version": "0.0.1",
    "classes": ["cat", "not_cat"],
    "input": {"resize": "stretch", "shape": [100, 100, 3]},
    "unsure": {"low": 0.4, "high": 0.6},
    "parameters": 0,
    "stages": [],
    "files": {},
}


def add(folder: Path, version: str = "0.0.1") -> Path:
    """A network's folder with a contract alone: whether it can be served is not asked here."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contract.json").write_text(json.dumps(CONTRACT | {"version": version}))
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    """`tutorial` in 0.9.0 and 0.10.0 beside `dense` without a version's folder."""
    for version in ("0.9.0", "0.10.0"):
        add(tmp_path / "tutorial" / version, version)
    return add(tmp_path / "dense").parent


@pytest.fixture
def taught(tmp_path_factory) -> Path:
    """Another folder of networks."""
    return tmp_path_factory.mktemp("taught")


def found(roots: list[Path], pins: dict[str, str] | None = None, only: str | None = None, bad: tuple[str, ...] = ()):
    """The versions by themselves; those that are `bad` cannot be served."""

    def make(contract: contract.Contract) -> str:
        if contract.version in bad:
            raise NetworkError(f"no memory for {contract.network} {contract.version}")
        return f"{contract.network} {contract.version}"

    return versions.catalogue(roots, make, pins or {}, only)


def listed(*arguments, **options) -> dict[str, list[str]]:
    return {name: list(by_version) for name, by_version in found(*arguments, **options).networks.items()}


def refusal(*arguments, **options) -> str:
    with pytest.raises(NetworkError) as refused:
        found(*arguments, **options)
    return str(refused.value)


def test_all_versions_are_found_the_newest_first(root):
    everything = found([root])
    assert everything.networks == {
        "dense": {"0.0.1": "dense 0.0.1"},
        "tutorial": {"0.10.0": "tutorial 0.10.0", "0.9.0": "tutorial 0.9.0"},
    }
    assert (list(everything.networks), list(everything.networks["tutorial"])) == (["dense", "tutorial"], ["0.10.0", "0.9.0"])
    assert everything.refused == []


@pytest.mark.parametrize(
    "names",
    [
        ["blue", "0.9", "1.0rc1", "1.0", "1.9.0", "1.10.0"],
        ["a", "b", "0.0.1"],
        ["2024.1", "2024.10"],
        ["blue", "red", "0.dev1", "0"],
        ["1", "1.0"],
    ],
)
def test_versions_sort_as_they_do_on_pypi_and_names_count_as_oldest(names):
    shuffled = names[::-1]
    assert sorted(shuffled, key=versions.sort_key) == names


def test_a_pin_lets_an_older_one_answer(root):
    assert listed([root], {"tutorial": "0.9.0"}) == {"dense": ["0.0.1"], "tutorial": ["0.9.0", "0.10.0"]}


def test_a_version_that_cannot_be_served_is_passed_over_and_the_reason_is_kept(root):
    known = found([root], bad=("0.10.0",))
    assert known.networks == {"dense": {"0.0.1": "dense 0.0.1"}, "tutorial": {"0.9.0": "tutorial 0.9.0"}}
    assert [str(error) for error in known.refused] == ["no memory for tutorial 0.10.0"]


def test_a_contract_that_is_none_is_passed_over_and_the_reason_is_kept(root):
    (root / "tutorial" / "0.10.0" / "contract.json").write_text("[")
    known = found([root])
    assert list(known.networks["tutorial"]) == ["0.9.0"]
    [error] = known.refused
    assert str(error).startswith(f"{root / 'tutorial' / '0.10.0' / 'contract.json'} is not a contract: ")


def test_the_reasons_of_all_networks_are_kept(root):
    add(root / "dense" / "0.10.0", "0.10.0")
    reasons = [str(error) for error in found([root], bad=("0.10.0",)).refused]
    assert reasons == ["no memory for dense 0.10.0", "no memory for tutorial 0.10.0"]


def test_a_network_of_the_first_folder_without_a_usable_version_is_an_error(root, taught):
    assert refusal([root, taught], bad=("0.9.0", "0.10.0")) == "no memory for tutorial 0.10.0"
    add(taught / "tutorial" / "0.11.0", "0.11.0")
    assert refusal([root, taught], bad=("0.9.0", "0.10.0", "0.11.0")) == "no memory for tutorial 0.11.0"


def test_a_network_of_another_folder_without_a_usable_version_is_left_out_unless_it_is_asked_for(root, taught):
    add(taught / "mine", "3")
    known = found([root, taught], bad=("3",))
    assert list(known.networks) == ["dense", "tutorial"]
    assert [str(error) for error in known.refused] == ["no memory for mine 3"]
    assert refusal([root, taught], only="mine", bad=("3",)) == "no memory for mine 3"


def test_a_folder_that_is_hidden_is_no_network(root):
    (root / "dense").rename(root / ".dense")
    assert versions.names([root]) == ["tutorial"]
    assert list(listed([root])) == ["tutorial"]


def test_contracts_that_lie_higher_or_deeper_are_no_networks(root):
    (root / "contract.json").write_text("[")
    add(root / "tutorial" / "0.9.0" / "deeper")
    assert listed([root]) == {"dense": ["0.0.1"], "tutorial": ["0.10.0", "0.9.0"]}


def test_a_folder_without_networks_is_named(tmp_path):
    assert refusal([tmp_path]) == f"no network in {tmp_path}: no folder there contains a contract.json"
    with pytest.raises(NetworkError, match=f"no network in {tmp_path}: "):
        versions.names([tmp_path])


def test_an_empty_folder_beside_the_first_is_none_at_all(root, taught):
    assert versions.names([root, taught]) == ["dense", "tutorial"]
    assert refusal([taught, root]) == f"no network in {taught}: no folder there contains a contract.json"


def test_one_network_alone_can_be_asked_for(root):
    known = found([root], only="dense", bad=("0.10.0",))
    assert (known.networks, known.refused) == ({"dense": {"0.0.1": "dense 0.0.1"}}, [])


def test_what_is_not_there_is_told_with_what_is(root, taught):
    add(taught / "mine")
    there = f"there are dense, tutorial, mine in {root} and {taught}"
    assert refusal([root, taught], {"lion": "1"}) == f"CATSCOPE_VERSIONS names lion; {there}"
    assert refusal([root, taught], only="lion") == f"there is no network lion; {there}"


def test_a_pin_that_is_not_there_is_told_with_the_versions_that_are(root):
    assert refusal([root], {"tutorial": "3"}) == "CATSCOPE_VERSIONS names tutorial=3, its usable versions are 0.10.0, 0.9.0"


def test_every_reason_why_a_pinned_version_is_not_usable_is_told(root):
    assert refusal([root], {"tutorial": "0.9.0"}, bad=("0.9.0", "0.10.0")) == (
        "CATSCOPE_VERSIONS names tutorial=0.9.0, its usable versions are none; "
        "no memory for tutorial 0.10.0; no memory for tutorial 0.9.0"
    )


def test_a_version_is_selected_by_its_name_or_the_default_is(root):
    known = found([root])
    assert (known.select("tutorial"), known.select("tutorial", "0.9.0")) == ("tutorial 0.10.0", "tutorial 0.9.0")
    with pytest.raises(NetworkError) as refused:
        known.select("tutorial", "3")
    assert str(refused.value) == "network tutorial has no version 3; it has 0.10.0, 0.9.0"


def test_a_version_can_lie_beside_the_networks_own_folder(root):
    add(root / "tutorial", "0.0.1")
    known = found([root])
    assert list(known.networks["tutorial"]) == ["0.10.0", "0.9.0", "0.0.1"]
    assert known.refused == []


def test_a_network_is_called_as_its_folder_is_whatever_its_version_and_wherever_it_lies(root, taught):
    add(root / "3", "3")
    (root / "lion").symlink_to(add(taught / "cat"))
    assert found([root]).networks["3"] == {"3": "3 3"}
    assert found([root]).networks["lion"] == {"0.0.1": "lion 0.0.1"}


def test_another_folder_adds_networks_and_versions_of_those_that_are_known(root, taught):
    add(taught / "tutorial" / "0.11.0", "0.11.0")
    add(taught / "a")
    assert versions.names([root, taught]) == ["dense", "tutorial", "a"]
    assert listed([root, taught])["tutorial"] == ["0.11.0", "0.10.0", "0.9.0"]
    assert listed([root, taught], {"tutorial": "0.9.0"})["tutorial"] == ["0.9.0", "0.11.0", "0.10.0"]


def test_networks_are_told_in_alphabetical_order(root):
    for name in ("zebra", "b.c", "b", "a-b"):
        add(root / name)
    assert versions.names([root]) == ["a-b", "b", "b.c", "dense", "tutorial", "zebra"]


def test_a_version_that_is_not_its_folders_is_refused(root):
    path = add(root / "tutorial" / "0.10.0", "0.9.9") / "contract.json"
    known = found([root])
    assert list(known.networks["tutorial"]) == ["0.9.0"]
    assert [str(error) for error in known.refused] == [f"{path} declares version 0.9.9, not 0.10.0"]


def test_a_version_that_is_there_twice_is_refused_and_the_first_is_kept(root, taught):
    add(root / "tutorial", "0.9.0")
    add(taught / "dense")
    known = found([root, taught])
    assert known.networks["tutorial"].keys() == {"0.9.0", "0.10.0"}
    assert [str(error) for error in known.refused] == [
        f"{taught / 'dense'} and {root / 'dense'} are both version 0.0.1 of dense",
        f"{root / 'tutorial'} and {root / 'tutorial' / '0.9.0'} are both version 0.9.0 of tutorial",
    ]


@pytest.mark.parametrize(
    ("configured", "names", "default"),
    [
        ("dense", ["cat", "dense"], "dense"),
        ("", ["tutorial", "cat"], "cat"),
        ("", ["a", "tutorial"], "tutorial"),
        ("", ["b", "c"], "b"),
    ],
)
def test_the_default_is_the_configured_one_or_the_first_of_the_known(configured, names, default):
    versions.check_default(configured, names)
    assert versions.default(configured, names) == default


def test_a_configured_default_that_is_not_there_is_named():
    with pytest.raises(NetworkError) as refused:
        versions.check_default("lion", ["cat", "dense"])
    assert str(refused.value) == "CATSCOPE_NETWORK is lion; there are cat, dense"


def test_a_pin_is_a_pair():
    assert Settings.from_environment({"CATSCOPE_VERSIONS": "cat=1.0.0, dense=2"}).pins == {"cat": "1.0.0", "dense": "2"}
    with pytest.raises(ValueError, match="CATSCOPE_VERSIONS is 'cat'; it must be pairs"):
        Settings.from_environment({"CATSCOPE_VERSIONS": "cat"})


def test_a_folders_network_is_its_name_or_the_one_above_its_version(root):
    assert contract.load(root / "dense").network == "dense"
    assert contract.load(root / "tutorial" / "0.9.0").network == "tutorial"
