"""How much a store takes on."""

import pytest

from app.errors import InvalidRequest
from app.teach.jobs import MOST_NETWORKS, MOST_UNFINISHED, Jobs


@pytest.mark.promise("P36")
def test_a_store_holds_20_networks_and_4_unfinished_jobs(tmp_path):
    jobs = Jobs(tmp_path, {})
    jobs.prepare()
    for number in range(20):
        assert jobs.free_name(f"another-{number}", ()) == f"another-{number}"
        (jobs.networks / f"network-{number}").mkdir()
    with pytest.raises(InvalidRequest, match="at most 20 are kept"):
        jobs.free_name("another", ())
    assert (MOST_NETWORKS, MOST_UNFINISHED) == (20, 4)
