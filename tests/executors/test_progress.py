"""Progress of a plan: what groups are called, what is said of their end."""

from nfbench.executors.progress import GroupProgress, Update, name
from nfbench.specification.config import Cell, Evaluation, Group, Training


def group(posterior="planar:K=2"):
    """A group of two seeds."""
    training = Training(learning_rate=0.1, updates=7, anneal_updates=0)
    facts = {"experiment": "mine", "profile": "quick", "target": "u1", "posterior": posterior}
    cells = tuple(Cell(**facts, seed=seed, training=training, evaluation=Evaluation()) for seed in (0, 1))
    return Group(cells=cells, order=(0, 0))


def test_ends_are_counted(capsys):
    """Each group's end is a line with its place, its name and how many of its cells had which outcome."""
    groups = [group(), group("radial:K=2")]
    with GroupProgress(groups) as shown:
        shown.update(Update(name(groups[0]), 3, 1.5))
        shown.finish(groups[0], [("done", ""), ("diverged", "it diverged")])
        shown.finish(groups[1], [("done", ""), ("done", "")])
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] mine u1 planar:K=2: 1 done, 1 diverged",
        "[2/2] mine u1 radial:K=2: 2 done",
    ]
