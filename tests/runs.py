"""What tests of runs in folders share."""

import jax
import numpy as np


def assert_same(result, other):
    """To the last bit: the record, the trials, and all weights."""
    one, two = result.history, other.history
    for field in ("step", "active", "decided", "pruned", "stopped", "kept", "reach", "diverged", "source"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field), err_msg=field)
    for tables in ("metrics", "schedule"):
        assert getattr(one, tables).keys() == getattr(two, tables).keys()
        for name, values in getattr(one, tables).items():
            assert values.dtype == getattr(two, tables)[name].dtype
            np.testing.assert_array_equal(values, getattr(two, tables)[name], err_msg=name)
    assert [t.hparams for t in result.trials] == [t.hparams for t in other.trials]
    assert repr(result.ranking[0]) == repr(other.ranking[0])
    assert result.weights.keys() == other.weights.keys()
    for trial, kept in result.weights.items():
        mine, theirs = (jax.tree.leaves(w.trained.states) for w in (kept, other.weights[trial]))
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert (result.interrupted, result.best.id) == (other.interrupted, other.best.id)
