"""What holds to the last bit also holds for programs that are compiled as users compile them, see conftest.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXACT = (
    "engine/test_population.py::test_number_of_devices_changes_no_trial",
    "drivers/test_search.py::test_equals_tune_to_the_last_bit[pbt-1]",
    "drivers/test_generations.py::test_a_model_in_one_program_is_the_same",
    "training/test_supervised.py::test_every_trial_equals_a_plain_optax_loop[linen]",
)


@pytest.mark.slow
def test_exact_tests_pass_with_the_usual_effort():
    here = Path(__file__).parents[1]
    tests = [f"{here}/{name}" for name in EXACT]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", *tests]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"XLA_FLAGS": ""}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
