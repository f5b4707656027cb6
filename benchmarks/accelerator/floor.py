"""How fast the device could be: its peaks, measured, and the work of a lane-step, counted.

No program that reads each weight, moment and activation from memory and multiplies every matrix is faster than

    floor = lanes * max(FLOPs / peak of large matmuls, bytes / bandwidth of a copy)

FLOPs are those of the matrix products and convolutions in the gradient's trace. Bytes per lane: parameters and two
moments read and written by the optimizer, with the gradient read (28 per parameter); the gradient written and the
weights read forwards and backwards; each product of the forward pass written and read, and so its gradient. What stays
in a cache or a fused kernel costs less, so that small populations can beat the floor; launching kernels is not in it.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from side_by_side import seconds

from accelerator.effort import bursts_for
from accelerator.models import data, loss

NAMES = {
    "float32": "matmul, float32 at default precision, TFLOP/s",
    "bfloat16": "matmul, bfloat16, TFLOP/s",
    "highest": "matmul, float32 at highest precision, TFLOP/s",
    "copy": "copy, read + write, GB/s",
}


def peaks(effort):
    """FLOP/s of large matmuls and bytes/s of a large copy: the best of some rounds."""
    size, length = effort.matmul, effort.copy
    numbers = jax.random.normal(jax.random.key(0), (size, size))  # ones draw less power, and so run at a higher clock
    square = {dtype: numbers.astype(dtype) for dtype in ("float32", "bfloat16")}
    array = jax.random.normal(jax.random.key(1), (length,))
    one = {
        "float32": partial(jax.jit(jnp.matmul), square["float32"], square["float32"]),
        "bfloat16": partial(jax.jit(jnp.matmul), square["bfloat16"], square["bfloat16"]),
        "highest": partial(jax.jit(partial(jnp.matmul, precision="highest")), square["float32"], square["float32"]),
        "copy": partial(jax.jit(lambda x: x + 1), array),
    }
    runs = {name: partial(repeat, call) for name, call in one.items()}
    counts = {name: bursts_for(run, effort.seconds) for name, run in runs.items()}
    times = seconds({name: partial(runs[name], counts[name]) for name in runs}, effort.rounds)
    work = {name: 2 * size**3 for name in one} | {"copy": 2 * 4 * length}
    return {name: work[name] * counts[name] / min(times[name]) for name in one}


def repeat(call, times):
    """The last of several results; the device works through them one by one."""
    for _ in range(times):
        result = call()
    return result


def lane_step(model, dtype):
    """Parameters, FLOPs and bytes of one training step of one lane."""
    network = model.network(dtype)
    x, y = (jax.ShapeDtypeStruct((model.batch, *a.shape[1:]), a.dtype) for a in map(jnp.asarray, data(model, 1)))
    params = jax.eval_shape(network.init, jax.random.key(0), x)

    def mean_loss(params, x, y):
        return loss(network.apply(params, x), y).mean()

    forwards = products(jax.make_jaxpr(mean_loss)(params, x, y).jaxpr)
    both = products(jax.make_jaxpr(jax.grad(mean_loss))(params, x, y).jaxpr)
    count = sum(p.size for p in jax.tree.leaves(params))
    width = jnp.dtype(dtype).itemsize
    num_bytes = 28 * count + 3 * width * count + 4 * width * sum(size for _, size in forwards)
    return {"parameters": count, "flops": sum(flops for flops, _ in both), "bytes": num_bytes}


def products(jaxpr):
    """(FLOPs, size of the result) of every matrix product and convolution in a trace."""
    found = []
    for equation in jaxpr.eqns:
        size = equation.outvars[0].aval.size if equation.outvars else 0
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            found.append((2 * size * math.prod(equation.invars[0].aval.shape[d] for d in contracted), size))
        elif equation.primitive.name == "conv_general_dilated":
            kernel, features = equation.invars[1].aval, equation.params["dimension_numbers"].rhs_spec[0]
            found.append((2 * size * kernel.size // kernel.shape[features], size))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=is_trace):
            if is_trace(inner):
                found += products(getattr(inner, "jaxpr", inner))
    return found


def is_trace(value):
    """Whether a parameter of an equation is itself a trace."""
    return hasattr(value, "jaxpr") or hasattr(value, "eqns")


def floor(work, dtype, peak):
    """Seconds of a lane-step by FLOPs and by bytes."""
    return {"FLOPs": work["flops"] / peak[dtype], "bytes": work["bytes"] / peak["copy"]}
