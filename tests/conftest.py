"""Eight CPU devices for every test, so that meshes of 1, 2 and 8 can be compared."""

import os

import jax

if "JAX_PLATFORMS" not in os.environ:
    jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
