"""Estimates of what a plan will take: from durations of records, scaled by updates and cells."""

import pytest
from support.shared_folder import TRAINING, groups

from nfbench.experiments.estimate import estimate, summary
from nfbench.experiments.run_group import run_group
from nfbench.records.store import path, read, write


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with one record of a Gaussian that took 6 s for 3 updates, and one of a GPU that took 3 s."""
    root = tmp_path_factory.mktemp("results")
    for group, seconds, device in zip(groups(2), (6.0, 3.0), ("cpu", "NVIDIA H100"), strict=True):
        (record,) = run_group(group, root)
        stored = read(path(root, record.cell.experiment, record.id))
        write(root, stored.model_copy(update={"seconds": seconds, "provenance": {"device": device}}))
    return root


def test_the_same_target_and_posterior_scale_by_updates(root):
    """2 s for each update of a record give 20 s for a cell of ten; finished cells take nothing."""
    longer = groups(1, training=TRAINING.model_copy(update={"updates": 10}))
    (same,) = estimate(longer, root)
    assert (same.cells, same.seconds, same.basis) == (1, 20.0, "same")
    assert [each.cells for each in estimate(groups(3), root)] == [0, 0, 1]


def test_others_are_similar_and_gpus_tell_nothing_of_cpus(root):
    """Another posterior on the same target is similar; on a GPU the GPU's own record counts."""
    similar = estimate(groups(1, ["planar:K=1"]), root)
    assert (similar[0].seconds, similar[0].basis) == (6.0, "similar")
    assert summary(similar) == "estimate: 0.0017 core-hours for 1 of 1 cells to run (1 by similar ones)"
    longer = groups(1, training=TRAINING.model_copy(update={"updates": 10}))
    assert estimate(longer, root, "cuda")[0].seconds == 10.0
    assert "GPU-hours" in summary(estimate(longer, root, "cuda"), "cuda")


def test_nothing_is_known_without_records(tmp_path):
    """An empty folder gives no number."""
    (unknown,) = estimate(groups(1), tmp_path)
    assert (unknown.seconds, unknown.basis) == (None, None)
    assert summary([unknown]).endswith("0 of 1 cells to run (1 unknown)")
    assert summary([]) == "estimate: nothing to run"
