"""The scripts of benchmarks/ and docs/: each runs, its arithmetic is right. What it measures is no test's business."""

import ast
import json
import re
import shutil
import sys
from importlib import import_module
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from pages import needs_browser
from scripts import ROOT, number, rows, run, runs

import jaxtune as jt
from jaxtune.samplers.sampler import Observed

SCRIPTS = sorted(path for folder in ("benchmarks", "docs") for path in (ROOT / folder).rglob("*.py"))


@pytest.fixture
def script(monkeypatch):
    """A function that imports a script."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module


# Every script is run


def is_run(path):
    """Whether a file is a script, and no module of one."""
    return "\nif __name__ ==" in path.read_text(encoding="utf-8")


def imported(path):
    """Names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_script_is_run():
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    marked = set(re.findall(r"^@runs\(\"(.*)\"\)$", tests, re.MULTILINE))
    assert marked == {path.relative_to(ROOT).as_posix() for path in SCRIPTS if is_run(path)}


def test_every_module_belongs_to_a_script(script):
    used = {name for path in SCRIPTS for name in imported(path)}
    used |= {f"searches.{peer.module}" for peer in script("peers").PEERS.values()}
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts[1:]) for path in SCRIPTS if not is_run(path)]
    packages = ("searches", "accelerator", "limit", "problems", "methods")
    assert set(names) - {f"{name}.__init__" for name in packages} <= used


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """A folder with a text in the place of tinyshakespeare.txt: 65 characters at random."""
    folder = tmp_path_factory.mktemp("play")
    letters = np.random.default_rng(0).integers(32, 97, 300_000, dtype=np.uint8)
    (folder / "tinyshakespeare.txt").write_bytes(letters.tobytes())
    return folder


# halving.py


@runs("benchmarks/halving.py")
def test_halving_says_that_its_quick_times_are_extrapolated(tmp_path):
    text = run("benchmarks/halving.py", cwd=tmp_path)
    ours, hand, ratio = rows(text)
    assert "only 10 of 40 steps were run. Its times are EXTRAPOLATED" in text
    # 32 trials to step 20, 16 to step 40; by hand all 32 to step 40
    assert (ours["lane-steps"], hand["lane-steps"]) == ("960", "1,280")
    for column in ("first run, s", "second run, s"):
        assert number(ratio[column]) == pytest.approx(number(hand[column]) / number(ours[column]), rel=0.05)
    for side in (ours, hand):
        accuracies = [float(x) for x in re.findall(r"(\d\.\d+) \(seed", side["test accuracy of the winners"])]
        assert len(accuracies) == 2
        assert all(0.2 < accuracy <= 1 for accuracy in accuracies)  # chance is 0.1


def test_halving_extrapolates_the_steps_and_not_the_compilation(script):
    records = [{"seconds": 7.0, "accuracy": 0.5}, {"seconds": 2.0, "accuracy": 0.5}]  # 5 s of compiling
    longer = script("halving").extrapolated(records, 10)
    assert [r["seconds"] for r in longer] == [25.0, 20.0]


def test_halving_by_hand_sees_no_example_twice_in_an_epoch(script):
    indices = np.asarray(script("halving").batches(jax.random.key(0), 5, 150))  # two batches of 64 an epoch
    assert indices.shape == (5, 64)
    assert [len(np.unique(indices[s : s + 2])) for s in (0, 2)] == [128, 128]
    assert not np.array_equal(indices[:2], indices[2:4])


# compiles.py


@runs("benchmarks/compiles.py")
def test_compiles_counts_what_was_promised(tmp_path):
    first, again, more = rows(run("benchmarks/compiles.py", "--searches", "halving", cwd=tmp_path))
    assert [r["trials"] for r in (first, again, more)] == ["16", "16", "64"]
    assert 1 <= number(first["training programs"]) <= 4
    assert again["training programs"] == "0 (at most 1)"
    assert more["training programs"] in ("0 (at most 1)", "1 (at most 1)")
    names = ("spawn", "advance", "evaluate", "move", "others")
    assert number(first["programs"]) == sum(number(first[name]) for name in names if first[name])


def test_compiles_notices_every_program_once(script):
    def advance(x):
        return x + 1

    with script("compiles").Compiles() as compiles:
        jitted = jax.jit(advance)
        jitted(np.ones(3))
        assert len(compiles.take()["advance"]) == 1
        jitted(np.ones(3))
        jitted.lower(np.ones(4))  # traced, but not compiled
        assert compiles.take() == {}
        jitted(np.ones(4))
        assert list(compiles.take()) == ["advance"]


@pytest.mark.parametrize(("count", "status"), [(4, 0), (5, 1)])
def test_compiles_fails_where_a_promise_is_broken(script, capsys, count, status):
    compiles = script("compiles")
    record = {"search": "halving", "run": "first", "limit": 4, "programs": {"advance": [0.5] * count, "move": [1.0]}}
    assert compiles.verdict([record]) == status
    assert ("Broken: halving, first: 5 training programs" in capsys.readouterr().out) == bool(status)


# memory.py


@runs("benchmarks/confirming.py")
def test_confirming_simulates_races_and_gaps(tmp_path):
    found = rows(run("benchmarks/confirming.py", cwd=tmp_path))
    races, gaps = found[:9], found[9:]
    assert [row["noise"] for row in races] == ["equal"] * 3 + ["unequal"] * 3 + ["heavy tails"] * 3
    assert all(0 < number(row["trainings"]) <= 40 for row in races)
    assert [row["spread"] for row in gaps] == ["0", "1", "3"]
    assert all(number(row["seen"]) < number(row["in truth"]) for row in gaps)  # the best of many is a lucky one


@runs("benchmarks/memory.py")
def test_memory_sets_lanes_against_what_they_need(tmp_path):
    text = run("benchmarks/memory.py", cwd=tmp_path)
    *memory, few, many = rows(text)
    needed = float(re.search(r"need ([\d.]+) KB", text).group(1))
    parameters = (64 + 1) * 64 + (64 + 1) * 64 + (64 + 1) * 10
    assert needed == pytest.approx(4 * 4 * parameters / 1e3, rel=0.01)  # weights, two moments, gradients
    assert [r["lanes"] for r in memory] == [few["lanes"], many["lanes"]] == ["16", "64"]
    for r in memory:
        assert number(r["KB per lane"]) * number(r["lanes"]) / 1e3 == pytest.approx(number(r["MB in all"]), rel=0.05)
        assert number(r["/ needed"]) == pytest.approx(number(r["KB per lane"]) / needed, rel=0.05)
    assert number(memory[1]["KB per lane"]) < number(memory[0]["KB per lane"])  # the data count once
    assert (number(few["/ 16 lanes"]), few["healthy lanes"], many["healthy lanes"]) == (1, "16", "64")


def test_memory_counts_reused_arguments_once(script):
    account = SimpleNamespace(
        argument_size_in_bytes=10, output_size_in_bytes=7, alias_size_in_bytes=6, temp_size_in_bytes=5
    )
    assert script("memory").peak(account) == 16


# gpu.py


@runs("benchmarks/gpu.py")
def test_gpu_runs_from_a_copy_that_is_not_installed(script, monkeypatch, capsys, tmp_path):
    for folder in ("jaxtune", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "jaxtune" / "__init__.py").open("a") as file:
        file.write("\nprint('this is the copy')\n")
    options = ["--models", "medium", "--lanes", "1", "2", "4", "--minutes", "5", "--output", "out.json"]
    text = run("benchmarks/gpu.py", *options, cwd=tmp_path, root=tmp_path)
    assert text.startswith("this is the copy")
    tables = rows(text)
    timed = [r for r in tables if "at once" in r]
    assert [r["lanes"] for r in timed] == ["1", "2", "4"]
    for r in timed:
        for side in ("(b)", "jaxtune"):
            rate = 1e6 * number(r["lanes"]) / number(r[f"{side}, us per step"])
            assert number(r[f"{side}, lane-steps/s"]) == pytest.approx(rate, rel=0.01)
    saved = json.loads((tmp_path / "out.json").read_text())
    peaks, growth, *searches = saved["jobs"]
    assert [p["lanes"] for p in growth["points"]] == [1, 2, 4]
    for side, row in zip(("hand", "jaxtune"), (r for r in tables if "P* = a/b" in r), strict=True):
        assert number(row["P* = a/b"]) == pytest.approx(growth["fits"][side]["p_star"], rel=0.01, abs=1e-6)
    (limit,) = (r for r in tables if "bound by" in r)
    least = max(growth["work"]["flops"] / peaks["peaks"]["float32"], growth["work"]["bytes"] / peaks["peaks"]["copy"])
    assert number(limit["floor, us per step"]) == pytest.approx(4e6 * least, rel=0.01)
    ratio = number(timed[-1]["jaxtune, us per step"]) / (4e6 * least)
    assert number(limit["jaxtune / floor"]) == pytest.approx(ratio, rel=0.02, abs=0.01)
    found = [r["lane-steps"] for r in tables if "first run, s" in r]
    # 16 trials to step 20 by hand; 16, 8, 4 from 5 to 10 to 20 by jaxtune; Hyperband spends the same in both ways
    assert found == ["320", "160", "2.00", "55", "55", "1.00"]
    assert all(len(side["wall"]) >= 2 for job in searches for side in job["sides"].values())
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--report", str(tmp_path / "out.json")])
    script("gpu").main()
    assert rows(capsys.readouterr().out) == tables


def records(times):
    """Records of timings, lanes -> seconds per step."""
    return [{"lanes": n, "seconds_per_step": {"hand": [t, t, 9 * t]}} for n, t in times.items()]


def test_gpu_finds_the_line_that_made_the_timings(script):
    fitted = script("accelerator.growth").fit(records({n: 3e-5 + 2e-6 * n for n in (1, 4, 16, 64, 256)}), "hand")
    assert fitted == pytest.approx({"a": 3e-5, "b": 2e-6, "r_squared": 1.0, "p_star": 15.0})


def test_gpu_fits_relative_errors(script):
    off = {n: 3e-5 + 2e-6 * n for n in (1, 4, 16, 64, 256, 1024)}
    off[1024] *= 1.05  # 100 microseconds: least squares of these would lose the 30 of a step without lanes
    fitted = script("accelerator.growth").fit(records(off), "hand")
    assert fitted["a"] == pytest.approx(3e-5, rel=0.1)
    assert 0.99 < fitted["r_squared"] < 1


def test_gpu_stops_where_memory_or_time_ends(script, monkeypatch):
    growth, models = script("accelerator.growth"), script("accelerator.models").MODELS

    def point(model, dtype, lanes, effort):
        if lanes > 16:
            raise MemoryError("too many")
        return {"lanes": lanes, "seconds_per_step": {"hand": [1e-6], "jaxtune": [1e-6]}}

    monkeypatch.setattr(growth, "point", point)
    model = models["small"]._replace(lanes=(1, 2, 4, 8, 16, 32, 64, 128))
    effort = script("accelerator.effort").FULL
    full, note = growth.points(model, "float32", effort, float("inf"))
    assert [r["lanes"] for r in full] == [1, 2, 4, 8, 16]
    assert re.findall(r"(\d+) lanes by both sides", note) == ["64", "32"]  # 128 are not even tried
    late, note = growth.points(model, "float32", effort, float("-inf"))
    assert [r["lanes"] for r in late] == [1, 4, 16]  # as many as a fit needs, over a wide range
    assert re.findall(r"short for (\d+) lanes", note) == ["64", "2", "8", "32", "128"]


CONVOLUTIONS = 28 * 28 * 9 * 16, 14 * 14 * 9 * 16 * 32  # multiplications per example
BLOCK = 64 * (4 * 128 * 128 + 2 * 128 * 512) + 2 * 64 * 64 * 128  # projections and MLP; attention
MULTIPLIED = {  # model -> per example: forwards, and of these in layers whose inputs need no gradient
    "medium": (64 * 128 + 128 * 128 + 128 * 10, 64 * 128),
    "cnn": (sum(CONVOLUTIONS) + 7 * 7 * 32 * 128 + 128 * 10, CONVOLUTIONS[0]),
    "transformer": (2 * BLOCK + 64 * 128 * 65, 0),
}
ACTIVATIONS = {  # per example: results of products
    "medium": 128 + 128 + 10,
    "cnn": 28 * 28 * 16 + 14 * 14 * 32 + 128 + 10,
    "transformer": 64 * (2 * (4 * 128 + 4 * 64 + 128 + 512 + 128) + 65),
}
PARAMETERS = {"medium": 26_122, "cnn": 206_922, "transformer": 421_697}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", list(MULTIPLIED))
def test_gpu_counts_the_work_of_a_step(script, name, dtype):
    model = script("accelerator.models").MODELS[name]
    work = script("accelerator.floor").lane_step(model, dtype)
    forwards, first = MULTIPLIED[name]
    assert work["parameters"] == PARAMETERS[name]
    assert work["flops"] == 2 * model.batch * (3 * forwards - first)
    size = {"float32": 4, "bfloat16": 2}[dtype]
    moved = 28 * PARAMETERS[name] + size * (3 * PARAMETERS[name] + 4 * model.batch * ACTIVATIONS[name])
    assert work["bytes"] == moved


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", list(MULTIPLIED))
def test_gpu_computes_in_the_type_it_says(script, name, dtype):
    models = script("accelerator.models")
    network, x = models.MODELS[name].network(dtype), models.data(models.MODELS[name], 2)[0]
    outputs, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    assert outputs.dtype == dtype
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}


@pytest.mark.parametrize("effort", ["FULL", "QUICK"])
def test_gpu_spends_the_same_on_brackets_together_and_alone(script, effort):
    searches = script("accelerator.searches")
    for scheduler in getattr(script("accelerator.effort"), effort).hyperband.values():
        together, alone = scheduler.plan(), [bracket.plan() for bracket in searches.brackets(scheduler)]
        assert together.brackets == tuple(plan.trials for plan in alone)
        assert together.trial_steps == sum(plan.trial_steps for plan in alone)


def test_gpu_goes_on_after_a_failure_and_ends_in_time(script, monkeypatch, tmp_path):
    gpu = script("gpu")

    def run(job, model, effort, deadline):
        if job.section == "peaks":
            raise ValueError("no peak")
        return {"found": job.section}

    monkeypatch.setattr(gpu, "run", run)
    saved, output = {"machine": "here", "jobs": [], "notes": []}, tmp_path / "out.json"
    effort = script("accelerator.effort").QUICK
    assert gpu.measure(gpu.JOBS[:2], {}, effort, saved, output) is True
    assert json.loads(output.read_text()) == saved
    assert [job["found"] for job in saved["jobs"]] == ["growth"]
    assert saved["notes"] == ["peaks failed: ValueError: no peak"]
    assert gpu.measure(gpu.JOBS[1:2], {}, effort._replace(minutes=-1), saved, output) is False
    assert saved["notes"][1:] == ["Time was short: growth medium float32 was left out."]


def test_gpu_keeps_what_was_finished_when_it_is_cut_off(script, monkeypatch, tmp_path, capsys):
    gpu, ended = script("gpu"), []
    monkeypatch.setattr(gpu.os, "_exit", ended.append)
    peaks = {"float32": 2e12, "bfloat16": 3e12, "highest": 1e12, "copy": 5e9}
    saved = {"machine": "here", "jobs": [{"section": "peaks", "peaks": peaks}], "notes": []}
    gpu.cut_off(saved, tmp_path / "out.json")
    assert ended == [0]
    assert json.loads((tmp_path / "out.json").read_text())["jobs"] == saved["jobs"]
    text = capsys.readouterr().out
    assert [r["measured"] for r in rows(text)] == ["2", "3", "1", "5"]
    assert "Time ran out" in text


# fresh.py


def test_a_part_that_fails_ends_the_script(script, tmp_path):
    part = tmp_path / "part.py"
    part.write_text("import sys\nprint('noise')\nprint('[1]')\nsys.exit(int(sys.argv[1]))\n")
    fresh = script("fresh").fresh
    assert fresh(str(part), "0") == [1]
    with pytest.raises(SystemExit, match="status 3"):
        fresh(str(part), "3")


# uci.py


@runs("benchmarks/uci.py")
def test_uci_reports_every_split(tmp_path):
    """A stand-in for a set that the script doesn't know: 5 splits, a linear function with noise of size 0.1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3)).astype(np.float32)
    y = (x.sum(axis=1) + 0.1 * rng.normal(size=80)).astype(np.float32)
    masks = np.array([rng.permutation(80) >= 8 for _ in range(5)])
    np.savez(tmp_path / "uci_plane.npz", x=x, y=y, train_mask=masks)
    options = ["--data", tmp_path, "--sets", "plane", "--published", 0.01, 0.002]
    text = run("benchmarks/uci.py", *options, cwd=tmp_path)
    (found,) = rows(text)
    assert (found["set"], found["examples"], found["published"]) == ("plane", "80", "0.0100 ± 0.0020")
    scores = np.array(re.search(r"^plane: (.*)$", text, re.MULTILINE).group(1).split(), float)
    assert scores.shape == (5,)
    mean, error = map(float, found["averaged"].split(" ± "))
    assert mean == pytest.approx(scores.mean(), abs=1e-3)
    assert error == pytest.approx(scores.std(ddof=1) / np.sqrt(5), abs=1e-3)
    assert mean < number(found["single winners"]) < 0.6  # the targets' own deviation is 1.7
    assert found["at or below"] == "no"  # that would be below the noise


def test_uci_has_one_rule_for_all_sizes(script):
    rules = [script("uci").rule(n) for n in (200, 308, 1030, 9568, 50_000)]
    batch_sizes, steps, _ = zip(*rules, strict=True)
    assert batch_sizes == (32, 32, 32, 128, 256)
    assert list(steps) == sorted(steps)


def test_uci_compares_with_published_figures_split_by_split(script):
    uci = script("uci")
    assert {name: uci.written(*uci.summary(x)) for name, x in uci.PUBLISHED.items()} == {
        "concrete": "4.826 ± 0.165",
        "energy": "0.539 ± 0.014",
        "yacht": "0.666 ± 0.050",
        "power": "4.014 ± 0.038",
    }
    better = uci.PUBLISHED["yacht"] - np.tile([0.1, 0.3], 10)
    assert uci.paired(better, uci.PUBLISHED["yacht"]).startswith("0.200 ± 0.023 (p = ")
    assert uci.paired(better[:5], uci.PUBLISHED["yacht"]) == uci.paired(better, None) == ""


# models.py


@runs("benchmarks/models.py")
def test_models_sets_jaxtune_against_programs_by_hand(play, tmp_path):
    widths, hand = rows(run("benchmarks/models.py", "--data", play, cwd=tmp_path))
    assert widths["model"] == hand["model"] == "embedding bag"
    assert widths["best"] in ("1", "2", "4")
    by_hand = min(number(hand[name]) for name in ("loop", "scan", "vmap of 4"))
    assert number(hand["best by hand / jaxtune"]) == pytest.approx(by_hand / number(hand["jaxtune"]), rel=0.3)


def test_models_are_all_trained(script, play):
    """Traced only: each makes a step, and its state keeps its shape."""
    tasks = script("architectures").tasks(play)
    for name in tasks.keys() - {name for name in tasks if name.endswith(("128", "64", "256", "1024"))}:
        task = tasks[name]()
        hp = dict.fromkeys(script("models").space_of(name), 1e-3)
        batch = jax.tree.map(lambda x, task=task: x[: task.batch_size], task.train)
        extras = {"step": 0, "total_steps": 10}

        def train(key, task=task, hp=hp, batch=batch, extras=extras):
            state = task.init(key, hp, **extras)
            return state, task.step(key, state, batch, hp, **extras)

        before, (after, info) = jax.eval_shape(train, jax.random.key(0))
        assert jax.tree.map(lambda x: x.shape, before) == jax.tree.map(lambda x: x.shape, after)
        assert info["loss"].shape == ()


# throughput.py


@runs("benchmarks/throughput.py")
def test_throughput_compares_with_the_best_by_hand(tmp_path):
    (row,) = rows(run("benchmarks/throughput.py", cwd=tmp_path))
    assert (row["width"], row["lanes"]) == ("16", "4")
    best = max(number(row["(a) scan"]), number(row["(b) vmap"]))
    ratio = number(row["1 device / best of a, b"])
    assert ratio == pytest.approx(number(row["jaxtune 1"]) / best, rel=0.3)


# convolutions.py and dropout.py


@runs("benchmarks/convolutions.py")
def test_convolutions_are_timed_in_both_forms(tmp_path):
    network, layer = rows(run("benchmarks/convolutions.py", cwd=tmp_path, trains=True))
    ratio = number(network["rewritten"]) / number(network["native"])
    assert number(network["rewritten / native"]) == pytest.approx(ratio, rel=0.3)
    assert number(layer["native / rewritten"]) > 0


@runs("benchmarks/dropout.py")
def test_dropout_is_timed_with_all_kinds_of_draws(tmp_path):
    *draws, jaxs, ours, free, without = rows(run("benchmarks/dropout.py", cwd=tmp_path))
    assert [r["ns per number"] for r in draws] == ["bits", "uniform", "bernoulli", "normal"]
    assert all(number(r["no draw"]) < number(r["JAX's"]) for r in draws)
    assert [r["draws"] for r in (jaxs, ours, free, without)] == ["JAX's", "written out", "no draw", "no dropout"]
    compiled = [number(r["first training with compile, s"]) for r in (jaxs, ours, free, without)]
    assert min(compiled) > 0.1 * max(compiled)  # none has found the program of another


# claims.py


@runs("benchmarks/claims.py")
def test_claims_simulates_standard_errors_and_selection(tmp_path):
    errors, gaps = [], []
    for row in rows(run("benchmarks/claims.py", cwd=tmp_path)):
        (errors if "replicates" in row else gaps).append(row)
    assert [r["replicates"] for r in errors] == ["1", "5", "20"]
    assert len({r["standard error reported, mean"] for r in errors}) == 1  # replicates that are all alike
    assert len(gaps) == 6
    for r in gaps:
        ratio = number(r["gap, mean"]) / number(r["max_optimism, mean"])
        assert number(r["gap / max_optimism"]) == pytest.approx(ratio, abs=0.05)


# ctrl_c.py


@runs("benchmarks/ctrl_c.py")
def test_ctrl_c_is_heard_in_each_case(tmp_path):
    slow, groups, compiling = rows(run("benchmarks/ctrl_c.py", cwd=tmp_path))
    for row in (slow, groups):  # there is no result where the program that evaluates is still being compiled
        assert row["answer"].startswith(("result at step ", "KeyboardInterrupt"))
        assert row["answer"] not in ("result at step 100 of 100", "result at step 1,000,000 of 1,000,000")
    assert compiling["answer"] == "KeyboardInterrupt"


# memory_said.py


@runs("benchmarks/memory_said.py")
def test_memory_said_is_compared_with_memory_taken(tmp_path):
    found = {row["search"]: row for row in rows(run("benchmarks/memory_said.py", cwd=tmp_path))}
    assert len(found) == 3
    demo, padded = found["demo, 512 trials"], found["1,025 trials of 1 MB, padded to 2,048"]
    assert 0.2 < number(demo["said / taken"]) < 1.25  # of few trials, scratch is the most
    states = padded["said: states + data + scratch, MB"].split(" + ")[0]
    assert number(states) == pytest.approx(64 * 2**20 / 1e6, abs=0.1)  # 33 trials


# many_searches.py


@runs("benchmarks/many_searches.py")
def test_many_searches_compile_equal_code_once(tmp_path):
    text = run("benchmarks/many_searches.py", "--picture", "drawn.png", cwd=tmp_path)
    first, again, other, another = rows(text)
    assert [r["search"] for r in (first, again, other, another)] == ["1", "2", "1", "2"]
    assert number(first["programs compiled"]) > 10
    assert number(again["programs compiled"]) == 0
    assert 0 < number(another["programs compiled"]) < number(other["programs compiled"])
    assert "the same code again: 0 programs compiled after the first search." in text
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("kind", "compiled", "status", "good"),
    [("same", 0, 0, True), ("same", 2, 0, False), ("other", 6, 0, True), ("other", 6, -11, False)],
)
def test_many_searches_says_what_is_broken(script, kind, compiled, status, good):
    records = [{"compiled": 30 if n == 0 else compiled, "mappings": 1000 * min(n, 3)} for n in range(8)]
    sentence, found = script("many_searches").verdict(kind, records, status)
    assert found == good
    assert sentence.startswith("Broken: ") != good
    assert (kind, status) != (
        "other",
        0,
    ) or "at most 3,000 mappings in the first half of the searches, 3,000 in the second" in sentence


def test_many_searches_notices_that_a_process_has_died(script, monkeypatch, tmp_path, capsys):
    many = script("many_searches")
    part = tmp_path / "part.py"
    record = {"search": 1, "mappings": 5, "resident": 1.0, "compiled": 3, "waited": 0.5, "seconds": 1.0}
    lines = [json.dumps(record | {"search": n}) for n in (1, 2)]
    part.write_text(f"import os\nprint({lines[0]!r})\nprint({lines[1]!r}, flush=True)\nos.abort()\n")
    monkeypatch.setattr(many, "__file__", str(part))
    records, status = many.run("other", 500)
    assert [r["search"] for r in records] == [1, 2]
    assert status < 0
    assert "| other | 2 | 5 | 1 | 3 | 0.50 | 1.00 |" in capsys.readouterr().out


# docs/


@pytest.fixture
def committed():
    """What lies in docs/, which must stay as it is."""
    before = {path: path.read_bytes() for path in (ROOT / "docs").iterdir() if path.is_file()}
    yield before
    assert before == {path: path.read_bytes() for path in (ROOT / "docs").iterdir() if path.is_file()}


@runs("docs/architecture.py")
def test_the_architecture_that_is_stored_is_that_of_the_code(committed, tmp_path):
    run("docs/architecture.py", tmp_path, cwd=tmp_path)
    assert (tmp_path / "architecture.svg").read_text() == (ROOT / "docs/architecture.svg").read_text()


@needs_browser
@runs("docs/picture.py")
def test_picture_is_drawn_elsewhere(committed, tmp_path):
    run("docs/picture.py", tmp_path, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.png"]


@runs("docs/halving_vs_random.py")
def test_study_page_is_written_elsewhere(committed, tmp_path):
    table = run("docs/halving_vs_random.py", tmp_path, cwd=tmp_path)
    _, *others = rows(table)
    assert len(others) == 2
    assert all("of 3 seeds" in r["better"] for r in others)
    page = (tmp_path / "halving_vs_random.md").read_text(encoding="utf-8")
    assert f"\n<!-- table -->\n{table.strip()}\n<!-- end -->\n" in page
    assert (tmp_path / "halving_vs_random.png").read_bytes().startswith(b"\x89PNG")


# durability.py


@runs("benchmarks/durability.py")
def test_durability_finds_equal_ends_and_no_silent_damage(tmp_path):
    kills, *others = rows(run("benchmarks/durability.py", cwd=tmp_path))
    assert kills["identical"] == kills["campaigns"] == "1"
    assert kills["kills"] == "10"
    assert int(kills["kills"]) >= 10
    damage = [r for r in others if "silent" in r]
    assert {r["file"] for r in damage} >= {"whole/results.json", "whole/trials.csv", "cut/log.jsonl", "cut/search.json"}
    assert {r["silent"] for r in damage} == {"0"}
    (cost,) = (r for r in others if "without, s" in r)
    assert number(cost["more, s"]) == pytest.approx(
        number(cost["with a folder, s"]) - number(cost["without, s"]), abs=0.02
    )
    assert [r["lanes"] for r in others if "lanes" in r] == ["16"]


# mutations.py


@runs("benchmarks/mutations.py")
def test_changes_that_lose_searches_are_noticed(tmp_path):
    found = rows(run("benchmarks/mutations.py", cwd=tmp_path))
    assert [r["change"] for r in found] == ["files are not synced", "names are not synced"]
    assert all(r["noticed by"].startswith("test_") for r in found)


# generations.py


@runs("benchmarks/generations.py")
def test_generations_are_set_against_one_search_of_as_many_lane_steps(tmp_path):
    one, *others = rows(run("benchmarks/generations.py", cwd=tmp_path))
    assert one["search"] == "one halving of 32"
    assert [row["search"].split(", ")[1] for row in others] == ["Sobol", "TPE", "Bayesian"]
    for row in others:
        assert number(row["ratio to one halving"]) == pytest.approx(number(row["s"]) / number(one["s"]), rel=0.05)
        assert 0 < number(row["s of proposing"]) < number(row["s"])


# quality.py


@runs("benchmarks/quality.py")
def test_quality_divides_by_halving_at_equal_cost(script, monkeypatch, capsys, tmp_path):
    text = run("benchmarks/quality.py", "--results", "found.jsonl", cwd=tmp_path)
    found = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    values = {(r["method"], r["seed"]): r["value"] for r in found}
    assert set(values) == {(name, seed) for name in ("sobol", "halving") for seed in (0, 1)}
    assert [r["cost"] for r in found] == [3] * 4
    sobol, halving = rows(text)
    assert halving["hartmann"] == "1.00 (1.00-1.00)"
    ratios = [values["sobol", seed] / values["halving", seed] for seed in (0, 1)]
    assert number(sobol["hartmann"]) == pytest.approx(np.prod(ratios) ** 0.5, abs=0.006)
    monkeypatch.setattr(sys, "argv", ["quality.py", "--report", str(tmp_path / "found.jsonl")])
    script("quality").main()
    assert rows(capsys.readouterr().out) == [sobol, halving]


@pytest.mark.slow
def test_quality_trains_networks_together_and_one_by_one(script):
    digits = next(script("problems.networks").problems(None))
    ((seed, found),) = (
        script("methods.with_jaxtune").Search(lambda budget: (jt.FullBudget(2, 270), 1)).outcomes(digits, 2, [3])
    )
    assert (seed, found.cost) == (3, 2)
    assert 0 < found.value < 2.3  # nothing learned
    assert 0 < found.test < 2.3
    trainer = script("methods.training").Trainer(digits, 3)
    hp = {"lr": 0.01, "slowness": 0.1, "weight_decay": 0.01, "dropout": 0.1, "init_scale": 1.0, "smoothing": 0.01}
    first, _ = trainer.train(hp, None, 0, 90)
    state, value = trainer.train(hp, first, 90, 270)
    assert trainer.steps == 270
    assert trainer.train(hp, None, 0, 270)[1] == pytest.approx(value, rel=1e-3)
    assert trainer.outcome(hp, state, value)[1] == pytest.approx(value, abs=0.5)
    assert value < 0.5


def test_quality_has_an_interval_over_seeds(script):
    cell = script("quality").cell
    assert cell([np.log([0.5, 0.5]), np.log([2.0, 2.0])]) == "1.00 (1.00-1.00)"
    _, low, high = map(float, re.findall(r"[\d.]+", cell([np.log(np.random.default_rng(0).lognormal(0, 0.5, 400))])))
    assert np.log(high / low) == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)
    assert low < 1 < high


def test_quality_knows_the_regret_of_functions(script):
    """Their lowest values are known: regrets are exact."""
    for problem in script("problems.functions").PROBLEMS:
        best = {name: 1 for name in problem.space}
        if "x0" in best:
            best = dict(zip(best, (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True))
        assert problem.regret(best) == pytest.approx(1e-4)
        assert problem.regret({name: 0.5 for name in best}) > 0.1


def test_bohb_learns_from_the_highest_rung_with_enough_trials(script, monkeypatch):
    bohb, looked = script("methods.bohb"), []
    monkeypatch.setattr(bohb.jt, "TPE", lambda random: lambda key, space, seen, n: looked.append(seen))
    nan = np.nan
    values = np.array([[8, nan, nan], [7, 6, nan], [5, 4, 3], [9, 2, nan], [7, 1, nan], [nan, nan, nan], [0, 0, 0]])
    history = Observed(
        np.arange(7.0)[:, None], values, np.arange(3), values * nan, np.zeros(7, bool), np.zeros(7, int), 6
    )
    bohb.HighestRung()(jax.random.key(0), jt.Space.of({"x": jt.Uniform(0.0, 1.0)}), history, 4)
    (seen,) = looked
    assert int(seen.count) == 4  # D + 3 of the second rung; the third has one
    assert seen.points[:4, 0].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(seen.values[:4], [[nan, 6, nan], [nan, 4, nan], [nan, 2, nan], [nan, 1, nan]])


@needs_browser
@runs("benchmarks/reports.py")
def test_reports_are_weighed_and_opened(tmp_path):
    (row,) = rows(run("benchmarks/reports.py", cwd=tmp_path))
    assert row["trials"] == "64"
    assert 1 < number(row["page, MB"]) < 3
    assert all(number(row[f"{part}, s"]) > 0 for part in ("contents", "page", "headline", "drawn", "a brush"))
