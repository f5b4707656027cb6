"""The architecture: folders import what lies below them, and files of a folder don't import one another in circles."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jaxtune

ROOT = Path(jaxtune.__file__).parent

RULES = {  # folder -> what it may import, and all that these may import
    "interface": (),
    "spaces": ("interface",),
    "samplers": ("spaces",),
    "schedulers": ("interface",),
    "tasks": ("spaces",),
    "training": ("tasks",),
    "engine": ("tasks", "samplers", "schedulers"),
    "storage": ("interface",),
    "monitoring": ("interface",),
    "results": ("engine", "storage", "monitoring"),
    "drivers": ("results",),
    "practice": ("drivers",),
    "cli": ("practice", "training"),  # by the public names
}
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
FILES = {name.removesuffix(".__init__"): path for name, path in FILES.items() if path.parent != ROOT}


def below(folder):
    """All folders that a folder may import."""
    return {other for allowed in RULES[folder] for other in (allowed, *below(allowed))}


def imports(name):
    """Files of jaxtune that a file imports, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".removeprefix("jaxtune.")
                found.add(whole if whole in FILES else whole.rpartition(".")[0])
    return found & set(FILES)


def test_the_top_is_what_the_rules_name():
    entries = {path.name for path in ROOT.iterdir() if not path.name.startswith("__")} - {"py.typed"}
    assert entries == set(RULES)
    assert len(entries) <= 13
    assert not entries & set(jaxtune.__all__)


@pytest.mark.parametrize("folder", RULES)
def test_a_folder_imports_what_lies_below(folder):
    wrong = {
        f"{name} imports {other}"
        for name in FILES
        if name.split(".")[0] == folder
        for other in imports(name)
        if other.split(".")[0] not in {folder, *below(folder)}
    }
    assert not wrong


def test_engine_and_drivers_know_no_training():
    for folder in ("engine", "drivers", "practice", "results"):
        assert "training" not in below(folder)


def test_no_file_imports_itself_in_a_circle():
    graph = {name: imports(name) - {name} for name in FILES}
    assert graph["drivers.tune"] >= {"drivers.generations", "engine.host"}  # imports are found
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("folder", RULES)
def test_every_folder_says_what_it_is_and_where_to_begin(folder):
    said = " ".join(importlib.import_module(f"jaxtune.{folder}").__doc__.split())
    begin = said.partition("Begin with `")[2].partition("`")[0]
    assert (ROOT / folder / begin).is_file()
    for other in RULES[folder]:
        assert f"`{other}`" in said or folder in ("drivers", "cli"), other


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


def test_every_public_name_is_what_the_stub_says():
    """Type checkers read the stub, and so does `jaxtune` itself."""
    tree = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    named = [(alias, node.module) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert [alias.name for alias, _ in named] == jaxtune.__all__
    for alias, module in named:
        assert alias.name == alias.asname  # else it isn't handed on
        home = importlib.import_module(module)
        given = getattr(jaxtune, alias.name)  # which imports it
        assert given is (getattr(home, alias.name, None) or sys.modules[f"{module}.{alias.name}"])


@pytest.mark.parametrize(
    "first", ["drivers.search", "training.supervised", "practice.staged", "practice.sensitivity", "cli.demo.digits"]
)
def test_any_file_can_be_imported_first(first):
    """Public names mean the same afterwards."""
    names = ("search", "tune", "staged", "rate", "sensitivity")
    code = f"import jaxtune.{first}, jaxtune as jt; print(all(callable(getattr(jt, name)) for name in {names}))"
    assert run(code).strip() == "True"


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
