from dataclasses import replace

import numpy as np
from histories import halving, pbt

from jaxtune.results.analysis.lineage import lineage
from jaxtune.results.history import joined


def test_population():
    """1 copies 0 at step 10, 2 copies 1 at step 20."""
    found = lineage(pbt(), 2)
    assert (found.start.tolist(), found.stop.tolist()) == ([0, 10, 20], [10, 20, 30])
    assert found.copies.tolist() == [[0, 0, 1], [1, 1, 2]]
    assert found.path.tolist() == [0, 1, 2]
    assert found.leads.tolist() == [True, True]
    assert found.trained.all()


def test_copies_that_lead_elsewhere():
    found = lineage(pbt(), 1)
    assert found.path.tolist() == [0, 1, 1]
    assert found.leads.tolist() == [True, False]
    assert lineage(pbt(), 0).leads.tolist() == [False, False]


def test_without_copies():
    found = lineage(halving(), 0)
    assert found.copies.shape == (0, 3)
    assert found.leads.shape == (0,)
    assert found.path.tolist() == [0, -1]  # pruned at the first rung
    np.testing.assert_array_equal(found.trained, halving().active)


def test_a_search_that_another_one_followed():
    unexplored = replace(pbt(), schedule={})
    found = lineage(joined(unexplored, unexplored), 5)
    assert found.start.tolist() == [0, 10, 20, 0, 10, 20]
    assert found.path.tolist() == [-1, -1, -1, 3, 4, 5]
    assert found.leads.tolist() == [False, False, True, True]
