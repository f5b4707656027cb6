"""How the host waits: interrupted by Ctrl-C, working ahead, leaving what never returns."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import jax.numpy as jnp
import pytest

from jaxtune.engine import host as host_module
from jaxtune.engine.host import GRACE, Busy, Host, interrupts


def done(value):
    future = Future()
    future.set_result(value)
    return future


def test_results_and_errors_pass():
    host = Host()
    assert host.compiled_program(done(3)) == 3
    assert host.call(jnp.add, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        host.call(lambda: 1 / 0)
    with pytest.raises(TimeoutError, match="mine"):  # not taken for one of the waiting
        host.call(raising, TimeoutError("mine"))


def raising(error):
    raise error


def test_waiting_for_compilers_is_booked():
    host, future = Host(), Future()
    threading.Timer(0.2, future.set_result, [None]).start()
    host.call(jnp.add, 1, 2)
    assert not host.compiling
    host.compiled_program(future)
    assert 0.15 < host.waited < 5
    assert host.compiling  # until a device is called


def test_works_ahead_while_it_waits_and_forgets_errors_of_that():
    host, order, future = Host(), [], Future()
    host.later.extend([lambda: order.append(1), lambda: 1 / 0, lambda: order.append(2)])
    threading.Timer(0.5, future.set_result, [None]).start()
    host.compiled_program(future)
    assert order == [1, 2]
    assert not host.later


def test_a_call_that_does_not_return_is_left_after_ctrl_c():
    host, released = Host(), threading.Event()
    threading.Timer(0.2, host.interrupt).start()
    begin = time.monotonic()
    with pytest.raises(Busy, match="device is still busy") as caught:
        host.call(released.wait)
    assert caught.value.device
    assert time.monotonic() - begin >= GRACE
    released.set()
    with pytest.raises(Busy, match="still compiling"):
        host.compiled_program(Future())


def test_a_call_that_ends_in_time_is_waited_for():
    host = Host()
    host.interrupt()
    assert host.call(lambda: time.sleep(0.2) or 5) == 5
    assert host.interrupted


def test_the_first_ctrl_c_is_a_wish_and_the_second_one_raises():
    host, before = Host(), signal.getsignal(signal.SIGINT)
    gc.disable()  # an exception that happens to come up in a callback of the collector is lost
    with interrupts(host):
        signal.raise_signal(signal.SIGINT)
        assert host.interrupted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    gc.enable()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_call_may_take_as_long_as_the_one_before(monkeypatch):
    monkeypatch.setattr(host_module, "GRACE", 0.1)
    host = Host()
    host.call(lambda: time.sleep(1.5))
    host.interrupt()
    assert host.call(lambda: time.sleep(0.5) or 5) == 5
    with pytest.raises(Busy):
        Host(_pressed=time.monotonic()).call(lambda: time.sleep(0.5))


def test_who_ignores_ctrl_c_goes_on_ignoring_it():
    """Such as a job in the background of a shell."""
    host, before = Host(), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts(host):
            signal.raise_signal(signal.SIGINT)
        assert not host.interrupted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


DEAD_LANE = """
import os, signal, sys, threading, time, warnings
import flax.linen as nn, jax, jax.numpy as jnp, numpy as np, optax, jaxtune as jt
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))

class FixedPoint(nn.Module):
    @nn.compact
    def __call__(self, x):
        w = self.param("w", nn.initializers.constant(0.1), (4,))
        unlike = lambda z: ~(jnp.max(jnp.abs(z[0] - z[1])) < 1e-4)  # NaN is unlike NaN: it never ends
        z = jax.lax.while_loop(unlike, lambda z: (jnp.tanh(z[0] * w + x), z[0]), (x, x + 1))[0]
        return nn.Dense(1)(jnp.tanh(jax.lax.stop_gradient(z) * w + x))

x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
def optimizer(hp):
    return optax.sgd(lambda count: jnp.where(count < 10, 1e-3, hp["lr"]))
task = jt.supervised(FixedPoint(), optimizer=optimizer, loss=optax.squared_error,
                     train=(x, x[:, :1]), validation=(x, x[:, :1]), batch_size=32)
def press(result):
    if result.history.step[-1] == 10:
        threading.Timer(1.0, ctrl_c).start()
def ctrl_c():
    print("pressed", time.monotonic(), flush=True)
    os.kill(os.getpid(), signal.SIGINT)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    r = jt.tune(task, {"lr": jt.Choice([1e-3, 1e20], static=False)}, scheduler=jt.FullBudget(2, 40),
                evaluate_every=5, callback=press, progress=False)
facts = r.interrupted, r.history.step[-1], r.best.metrics["loss"] > 0, r.best.variables
print("returned", time.monotonic(), *facts, flush=True)
print([str(w.message) for w in caught if "busy" in str(w.message)], flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_ctrl_c_ends_a_search_whose_device_never_answers(devices):
    """The process ends by itself afterwards."""
    run = subprocess.run(
        [sys.executable, "-c", DEAD_LANE, str(devices)], capture_output=True, text=True, timeout=120,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    pressed, returned, said = run.stdout.splitlines()
    assert returned.split()[2:] == ["True", "10", "True", "None"]
    assert float(returned.split()[1]) - float(pressed.split()[1]) < 20  # some 2 s; a deaf search never returns
    assert "device is still busy" in said
    assert run.returncode == 0, run.stderr
