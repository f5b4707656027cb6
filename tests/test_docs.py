"""Every example in a docstring and in a Markdown file runs, and the documents keep what they promise."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scripts import environment
from toys import DESCENT, DESCENT_SPACE, tune

import jaxtune as jt

ROOT = Path(__file__).parents[1]
MODULES = [  # those with an example
    module.name
    for module in pkgutil.walk_packages(jt.__path__, "jaxtune.")
    if not module.name.endswith("__main__") and "    >>> " in inspect.getsource(importlib.import_module(module.name))
]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
GIVEN_BACK = {"Result", "Trial", "Ensemble", "Outcome", "Nested", "SearchPlan"}  # users never make these
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def document(name):
    return ROOT.joinpath(name).read_text(encoding="utf-8")


def code(text):
    """The Python blocks of a document, each in its place, so that tracebacks name the right lines."""
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        inside = block[1].splitlines()
        lines[first : first + len(inside)] = inside
    return "\n".join(lines)


# Docstrings


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


def test_public_names_have_examples():
    public = {name: getattr(jt, name) for name in jt.__all__ if name not in GIVEN_BACK}
    without = {name for name, value in public.items() if not inspect.ismodule(value) and ">>>" not in value.__doc__}
    assert not without


# Markdown


def test_python_blocks_are_found():
    assert {path.name for path in DOCUMENTS} >= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    text = "a\n```python\nx = 1\n```\nb\n```bash\nno\n```\n```python\ny = x\n```\n"
    assert code(text) == "\n\nx = 1\n\n\n\n\n\n\ny = x\n"


@pytest.mark.slow
def test_readme_example(tmp_path):
    """As a reader would run it: a process of its own, since JAX can't have started before."""
    file = tmp_path / "README.py"
    file.write_text(code(document("README.md")))
    command, where = [sys.executable, str(file)], {"cwd": tmp_path, "env": environment()}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **where)
    assert done.returncode == 0, done.stderr
    assert "512 trials, 8 finished" in done.stdout
    assert float(re.search(r"'accuracy': ([\d.]+)", done.stdout)[1]) > 0.95


def test_readme_example_is_short():
    first = BLOCK.search(document("README.md"))[1]
    assert len([line for line in first.splitlines() if line]) == 15


def test_readme_is_for_newcomers():
    """Its opening is the picture, the example and two commands; depth has pages of its own, all of which it names."""
    text = document("README.md")
    assert len(text.split()) < 1100
    assert text.index("docs/report.png") < text.index("```python") < text.index("```bash ci") < 3_500
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb"), ROOT / "benchmarks" / "RESULTS.md"]
    assert not [page.name for page in pages if f"({page.relative_to(ROOT).as_posix()})" not in text]


def test_names_in_the_documents_exist():
    for path in DOCUMENTS:
        used = set(re.findall(r"\bjt\.(\w+)", path.read_text(encoding="utf-8")))
        assert path.name == "CHANGELOG.md" or used <= set(jt.__all__), path.name


def test_links_lead_to_files():
    for path in DOCUMENTS:
        targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text(encoding="utf-8"))
        missing = [target for target in targets if not path.parent.joinpath(target).exists()]
        assert not missing, f"{path.name} links to {missing}"


def test_nothing_is_left_to_measure():
    assert not [path.name for path in DOCUMENTS if "TODO" in path.read_text(encoding="utf-8")]


def test_pictures_are_small():
    pictures = list(ROOT.glob("docs/*.png"))
    assert pictures
    assert all(picture.stat().st_size < 300_000 for picture in pictures)


def test_ci_runs_the_commands_of_the_readme():
    pattern = re.search(r"sed -n '(.*?)' README.md", document(".ci/run"))[1]
    found = subprocess.run(["sed", "-n", pattern, "README.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    job, tests = found.stdout.splitlines()
    assert job.endswith("jaxtune demo")
    assert "pytest" in tests
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install") for command in (job, tests))


def test_contributing_is_a_page_with_the_architecture():
    text = document("CONTRIBUTING.md")
    assert "docs/architecture.svg" in text
    assert len(text.split()) < 1000


# The examples of CONTRIBUTING.md


@pytest.fixture(scope="module")
def contributed():
    # A dataclass looks up its module.
    spec = importlib.util.spec_from_loader("contributed", loader=None)
    module = sys.modules["contributed"] = importlib.util.module_from_spec(spec)
    exec(compile(code(document("CONTRIBUTING.md")), "CONTRIBUTING.md", "exec"), module.__dict__)
    yield module
    del sys.modules["contributed"]


def test_contributed_sampler_hits_every_cell_once(contributed):
    from jaxtune.spaces.space import Space

    space = Space.of({"a": jt.Uniform(0, 1), "b": jt.Uniform(0, 1)})
    points = contributed.LatinHypercube()(jax.random.key(0), space, None, 8)
    assert np.sort(np.floor(8 * points), axis=0).tolist() == [[i, i] for i in range(8)]
    assert len({tuple(point) for point in np.floor(8 * points).tolist()}) == 8


def test_contributed_sampler_and_scheduler_search(contributed):
    scheduler = contributed.OneCut(trials=6, cut=5, steps=10)
    result = tune(DESCENT, DESCENT_SPACE, scheduler=scheduler, sampler=contributed.LatinHypercube())
    assert sorted(trial.steps for trial in result.trials) == [5] * 3 + [10] * 3
    lrs = [trial.hparams["lr"] for trial in sorted(result.trials, key=lambda trial: trial.steps)]
    assert max(lrs[:3]) < min(lrs[3:])  # on this task more is better


# Scripts in docs/


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study():
    return script("halving_vs_random")


def test_study_page_shows_the_code_that_runs(study):
    (shown,) = BLOCK.findall(document("docs/halving_vs_random.md"))
    assert shown in inspect.getsource(study)


def test_study_page_has_the_table(study):
    text = document("docs/halving_vs_random.md")
    assert all(f"\n| {name} | " in text for name in study.SEARCHES)


def test_study_budgets_are_equal(study):
    halving, random, more = (scheduler.plan().trial_steps for scheduler in study.SEARCHES.values())
    assert halving == random == more / 3


def test_study_interval_of_a_mean(study):
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = study.interval(values)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.1 * half)


@pytest.mark.slow
def test_study_on_few_seeds(study, monkeypatch, tmp_path):
    """Searches under vmap keep apart, each finds a network that works, and none of the halvings fails."""
    few = {name: scheduler for name, scheduler in study.SEARCHES.items() if scheduler.plan().trial_steps < 3000}
    monkeypatch.setattr(study, "SEARCHES", few)
    errors = study.compare(6)
    assert errors.keys() == few.keys()
    for values in errors.values():
        assert values.shape == (6,)
        assert len(set(values.tolist())) > 1
        assert ((values > 0) & (values < 0.9)).all()
    assert errors[study.HALVING].max() < 0.1
    assert study.table(errors).count("\n") == 1 + len(few)
    study.draw(errors, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    keys = jax.vmap(jax.random.key)(jnp.arange(6)[::-1])
    backwards = study.many_searches(keys, study.digits_task(), few[study.HALVING])
    np.testing.assert_allclose(backwards[::-1], errors[study.HALVING], atol=0.01)  # 5 of 497 digits
