"""What a report weighs and takes: bytes, seconds to make, and seconds until a browser shows it.

Searches over ten hyperparameters with 512, 4,096 and 16,384 trials, halved four times. The page is opened in
headless Chromium, from its file and without a network: *headline* is the first contentful paint, *drawn* when all is
there, *a brush* a box dragged over the learning curves until the table shows who was chosen.

    python benchmarks/reports.py [--quick]
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from playwright.sync_api import sync_playwright
from side_by_side import machine

import jaxtune as jt

REPEATS = 3
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
BOX = """() => {
  const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name('curves'));
  view.el.scrollIntoView({block: 'center', behavior: 'instant'});
  const box = view.el.getBoundingClientRect(), f = view.frame.bbox;
  return [box.x + f.left, box.y + f.top, f.width, f.height];
}"""


def search(trials, steps):
    """Gradient descent on a valley, whose shape nine hyperparameters change."""
    names = [f"x{i}" for i in range(9)]
    task = jt.Task(
        init=lambda key, hp: jnp.ones(4),
        step=lambda key, w, batch, hp: (w - hp["lr"] * w * jnp.arange(1.0, 5.0), {}),
        evaluate=lambda key, w, data, hp: {
            "loss": jnp.sum(w**2) + sum(0.1 / (i + 1) * (hp[name] - 0.5) ** 2 for i, name in enumerate(names))
        },
    )
    space = {"lr": jt.LogUniform(1e-4, 1.0)} | {name: jt.Uniform(0.0, 1.0) for name in names}
    scheduler = jt.SuccessiveHalving(trials, min_steps=steps // 8, max_steps=steps, eta=2)
    return jt.tune(task, space, scheduler=scheduler, evaluate_every=steps // 32, progress=False)


def opened(chromium, path):
    """Seconds until the headline, until all is drawn, and of a brush."""
    window = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    begin = time.perf_counter()
    window.goto(path.as_uri())
    window.wait_for_selector("body[data-ready]", timeout=120_000)
    drawn = time.perf_counter() - begin
    x, y, width, height = window.evaluate(BOX)
    window.wait_for_timeout(500)
    begin = time.perf_counter()
    window.mouse.move(x + 0.2 * width, y + 0.5 * height)
    window.mouse.down()
    window.mouse.move(x + 0.9 * width, y + 0.9 * height)
    window.mouse.up()
    window.wait_for_function("() => !document.getElementById('status').textContent.startsWith('0 ')", timeout=60_000)
    brush = time.perf_counter() - begin
    paint = window.evaluate(PAINT)
    window.context.close()
    return paint, drawn, brush


def measured(chromium, result, folder):
    """A row: megabytes, then medians and ranges of seconds."""
    seconds = []
    for turn in range(REPEATS):
        path = folder / f"{turn}.html"
        begin = time.perf_counter()
        report = result.report()
        contents = time.perf_counter() - begin
        report.write(path)
        made = time.perf_counter() - begin - contents
        report.write_json(path.with_suffix(".json"))
        seconds.append((contents, made, *opened(chromium, path)))
    sizes = [path.with_suffix(end).stat().st_size / 1e6 for end in (".html", ".json")]
    told = [f"{np.median(one):.2f} ({min(one):.2f}-{max(one):.2f})" for one in zip(*seconds, strict=True)]
    return [f"{len(result.trials):,}", *(f"{size:.2f}" for size in sizes), *told]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small search only: shows that it works")
    quick = parser.parse_args().quick
    jt.set_host_device_count()
    print(machine(), end="\n\n")
    names = "trials", "page, MB", "report.json, MB", "contents, s", "page, s", "headline, s", "drawn, s", "a brush, s"
    print(f"| {' | '.join(names)} |", f"|{'---|' * len(names)}", sep="\n")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for trials in (64,) if quick else (512, 4096, 16_384):
            row = measured(chromium, search(trials, 32 if quick else 320), Path(folder))
            print(f"| {' | '.join(row)} |", flush=True)
        chromium.close()


if __name__ == "__main__":
    main()
