"""The architecture: a file imports lower layers only. Reading upwards, each file needs nothing that comes later."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import jaxtune

ROOT = Path(jaxtune.__file__).parent

LAYERS = [
    # values, words, and functions of arrays that know nothing of the rest
    {"arrays", "counts", "habits", "options", "settings", "hp"},
    {"cache", "checks", "weak", "task", "metrics", "schedules", "order", "schedulers"},
    {"notebook", "latex", "cores", "signatures"},
    {
        "fingerprints",
        "host",
        "host_memory",
        "broadcasts",
        "labels",
        "mismatch",
        "stored",
        "progress",
        "entry",
        "updating",
    },
    {"costs", "augment", "losses", "penalties", "preprocess", "weights", "folds", "pace", "rewriting", "executables"},
    {"bits", "convolutions", "pooling", "bitcast", "constraints"},
    # hyperparameters, and user functions as the engine sees them
    {"domains", "rates", "text", "explain", "functions", "plateau", "scaling", "data"},
    {"hyperparameters", "lanes", "axes"},
    {"assignment", "plots", "trained"},
    {"space", "history", "gap", "draws", "models", "optimizers"},
    {"enumeration", "observed", "rows"},
    # what is searched, how it is ranked, and the population
    {"samplers", "configurations", "selection", "reads", "record", "trial", "recipe", "population"},
    {"measured", "evaluation", "resolve", "placement", "refit", "tables"},
    {"programs", "conditions", "undefined"},
    {"supervision", "group", "result"},
    {"winner", "recovery", "continuing"},
    {"planner"},
    {"study"},
    # the two drivers, which know everything, and their forecast
    {"tuning", "searching", "planning"},
    # what calls `tune` many times
    {"nesting"},
    {"practice"},
    # what users import, and what is built on that
    {"__init__"},
    {"demos"},
    {"cli"},
    {"__main__"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def unit(path):
    """The file, or the package in which it lies."""
    return path.parts[0].removesuffix(".py")


def imports(path):
    """Units of jaxtune that a file imports, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for package, _, rest in (name.partition(".") for name in names):
            if package == "jaxtune":
                first = rest.partition(".")[0]
                found.add(first if first in LAYER else "__init__")
    return found


def test_every_file_has_a_layer():
    assert {unit(path) for path in FILES} == set(LAYER)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_lower_layers_only(path):
    own = unit(path)
    wrong = {name for name in imports(path) - {own} if LAYER[name] >= LAYER[own]}
    assert not wrong, f"{path} of layer {LAYER[own]} imports {wrong}"


def test_imports_are_found():
    """The check above sees something."""
    assert {"samplers", "study", "searching"} & imports(Path("tuning.py")) == {"samplers", "study"}
    assert imports(Path("demos/digits.py")) >= {"__init__"}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_jaxtune_imports_nothing_else():
    """Public names are imported when they are asked for."""
    code = "import sys, jaxtune; print([name for name in ('jax', 'numpy', 'flax', 'optax') if name in sys.modules])"
    assert run(code).strip() == "[]"


def test_a_public_name_imports_no_more_than_tuning_needs():
    slow = ("flax.nnx", "matplotlib", "pandas", "psutil", "sklearn", "scipy.stats")
    code = f"import sys, jaxtune; jaxtune.supervised, jaxtune.tune; print([n for n in {slow} if n in sys.modules])"
    assert run(code).strip() == "[]"


def test_type_checkers_see_the_public_names():
    """The imports that only they read name what `jaxtune.<name>` gives."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen.keys() == set(jaxtune.__all__)
    for name, module in seen.items():
        home = importlib.import_module(module)
        value = getattr(home, name) if hasattr(home, name) else importlib.import_module(f"{module}.{name}")
        assert getattr(jaxtune, name) is value, name


@pytest.mark.parametrize(
    "first", ["searching", "supervision", "practice.staged", "practice.sensitivity", "demos.digits"]
)
def test_any_file_can_be_imported_first(first):
    """Public names mean the same afterwards."""
    names = ("search", "tune", "staged", "rate", "sensitivity")
    code = f"import jaxtune.{first}, jaxtune as jt; print(all(callable(getattr(jt, name)) for name in {names}))"
    assert run(code).strip() == "True"


@pytest.mark.slow
def test_strict_type_checkers_know_the_names(tmp_path):
    user = tmp_path / "user.py"
    user.write_text("import jaxtune as jt\njt.tune\njt.Uniform(0.0, 1.0)\njt.schedules\njt.tunee\n")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--ignore-missing-imports",
        "--follow-imports=silent",
        str(user),
    ]
    done = subprocess.run([*command, "--cache-dir", str(tmp_path)], capture_output=True, text=True, cwd=ROOT.parent)
    assert [line for line in done.stdout.splitlines() if "error:" in line and "tunee" not in line] == [], done.stdout
    assert 'Module has no attribute "tunee"' in done.stdout


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'jaxtune' has no attribute 'tuen'"):
        jaxtune.tuen  # noqa: B018
    assert set(jaxtune.__all__) < set(dir(jaxtune))


def test_importing_jaxtune_changes_no_setting():
    """JAX is not started either: devices can be chosen afterwards."""
    code = (
        "import os, jax, flax, optax\n"
        "before = dict(jax.config.values), dict(os.environ)\n"
        "import jaxtune\n"
        "[getattr(jaxtune, name) for name in jaxtune.__all__]\n"
        "assert (dict(jax.config.values), dict(os.environ)) == before\n"
        "jax.config.update('jax_num_cpu_devices', 3)\n"
        "print(len(jax.devices('cpu')))"
    )
    assert run(code).strip() == "3"
