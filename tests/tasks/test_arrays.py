"""Data of other libraries, and of unusual kinds: converted at the entry, or refused by name with what to write."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import scipy.sparse
from jax.experimental import sparse
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from plain import CROSS_ENTROPY, sgd

import jaxtune as jt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype(np.float32)
Y = RNG.integers(0, 3, 24)
SHARDED = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("a",)), PartitionSpec("a"))


class Tensor:
    """Like a torch.Tensor that requires a gradient: it has to be asked for its numbers in two steps."""

    def __init__(self, values, free=False):
        self.values, self.free, self.is_sparse = values, free, False

    def detach(self):
        return type(self)(self.values, free=True)

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        if not self.free:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return np.asarray(self.values, dtype)


class Half(Tensor):
    """Like a tensor of bfloat16, which NumPy doesn't know."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


class Polars:
    """Like a polars.DataFrame: columns by name, no index."""

    columns = ("a", "b", "c")

    def __getitem__(self, name):
        return pd.Series(X[:, self.columns.index(name)])

    def to_numpy(self):
        return X


def supervised(x=X, y=Y):
    return jt.supervised(
        nn.Dense(3), optimizer=sgd, loss=CROSS_ENTROPY, train=(x, y), validation=(x, y), test=(x, y), batch_size=8
    )


def frame(**columns):
    return pd.DataFrame({"a": X[:, 0], **columns})


CONVERTED = {
    "frame": pd.DataFrame(X),
    "polars": Polars(),
    "tensor": Tensor(X),
    "list of lists": X.tolist(),
    "list of rows": [tuple(row) for row in X.tolist()],
    "big-endian": X.astype(">f4"),
    "nothing masked": np.ma.masked_array(X, mask=False),
    "matrix": np.matrix(X),
    "sharded": jax.device_put(X, SHARDED),
    "on another device": jax.device_put(X, jax.devices()[1]),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_what_holds_numbers_becomes_an_array(kind):
    for data in (supervised(CONVERTED[kind]).train, supervised({"x": CONVERTED[kind]}).test):
        x = data[0]["x"] if isinstance(data[0], dict) else data[0]
        assert type(x) is np.ndarray
        assert x.dtype.isnative
        np.testing.assert_array_equal(x.astype(np.float32), X)


@pytest.mark.parametrize(
    "labels", [pd.Series(Y), pd.Series(Y, dtype="Int64"), Y.tolist(), list(Y), Tensor(Y), Y.astype(">i2"), pd.Index(Y)]
)
def test_labels_likewise(labels):
    converted = supervised(y=labels).validation[1]
    assert np.issubdtype(converted.dtype, np.integer)
    np.testing.assert_array_equal(converted, Y)


def test_columns_of_several_kinds_of_numbers():
    x = supervised(frame(b=Y, c=Y > 1)).train[0]
    np.testing.assert_array_equal(x, np.stack([X[:, 0], Y, Y > 1], axis=1).astype(np.float32))


def test_the_data_of_any_task_are_converted():
    task = jt.Task(init=len, step=len, evaluate=len, train=pd.DataFrame(X), validation={"y": Y.tolist()})
    assert type(task.train) is np.ndarray
    assert task.validation["y"].shape == (24,)
    assert task.num_examples == 24


def test_arrays_stay_what_they_are():
    on_device = jnp.asarray(X)
    key = jax.random.split(jax.random.key(0), 24)
    data = (X, [on_device, key])
    task = jt.Task(init=len, step=len, evaluate=len, train=data)
    assert task.train is data
    assert task.train[0] is X
    assert task.train[1][0] is on_device
    assert task.train[1][1] is key


def test_a_task_is_a_pytree_of_whatever_is_put_into_it():
    """Numbers in a list are no data there."""
    task = jax.tree.map(lambda x: 0, jt.Task(init=len, step=len, evaluate=len, train=[X, Y]))
    assert task.train == [0, 0]
    assert jax.tree_util.keystr(jax.tree_util.tree_leaves_with_path(task)[0][0]) == ".train[0]"


NONE_CAN_HOLD = ", which no device can hold; "
REFUSED = {
    "sparse": (scipy.sparse.csr_matrix(X), "train[0] is sparse (csr_matrix)", "pass its .toarray()."),
    "sparse array": (scipy.sparse.coo_array(X), "is sparse (coo_array)"),
    "sparse of JAX": (sparse.BCOO.fromdense(X), "train[0] is sparse (BCOO)", "pass its .todense()."),
    "masked": (np.ma.masked_greater(X, 1), "train[0] is a masked array with", "pass .filled(value)"),
    "timedelta": (X.astype("m8[s]"), "has dtype timedelta64[s]" + NONE_CAN_HOLD, "/ numpy.timedelta64(1, 's')"),
    "datetime": (X.astype("m8[s]") + np.datetime64("2020-01-01"), "datetime64[s]", "numpy.timedelta64(1, 'D')"),
    "text": (np.array(["a"] * 24), "dtype <U1" + NONE_CAN_HOLD, "encode it as numbers first, as numpy.unique("),
    "list of text": ([["a"]] * 24, "train[0][0][0] must be an array that fits the device, got 'a'"),
    "objects": (X.astype(object), "dtype object" + NONE_CAN_HOLD, "as .astype(float) does for numbers"),
    "rows of other lengths": ([[1.0], [1.0, 2.0]], "train[0] is a list of lists of different lengths: pad them"),
    "records": (np.zeros(24, [("a", "f4")]), "structured_to_unstructured"),
    "a column of text": (frame(sex=["f", "m"] * 12), "train[0]['sex'] has dtype ", "encode it as numbers first"),
    "categories": (pd.Series(["f", "m"] * 12, dtype="category"), "dtype object", "numpy.unique"),
    "a tensor of bfloat16": (Half(X), "train[0] is a Half that NumPy can't make an array of (Got unsupported"),
    "a text for a tensor": (Tensor(np.array(["a"] * 24)), "dtype <U1"),
}  # fmt: skip
if np.dtype(np.longdouble).itemsize > 8:
    REFUSED["longdouble"] = (X.astype(np.longdouble), "has dtype float", "pass its .astype(numpy.float64).")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_have_to_be_guessed_is_refused(kind):
    data, *parts = REFUSED[kind]
    with pytest.raises((TypeError, ValueError)) as caught:
        supervised(data)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_whole_frame_is_no_pair():
    with pytest.raises(TypeError, match=re.escape("pick columns for each, as in (frame[[...]], frame['...'])")):
        jt.supervised(nn.Dense(1), optimizer=sgd, loss=optax.squared_error, train=frame(y=Y), batch_size=8)
