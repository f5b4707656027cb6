"""Makes the picture at the top of the README: `python docs/picture.py` writes docs/report.png.

It is the report of the search of `jaxtune demo --confirm`, evaluated more often so that the first rung has curves too:
its headline, advice, parallel coordinates and learning curves, as Chromium shows them.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import jaxtune as jt
from jaxtune.cli.demo import digits

FILE = Path(__file__).with_name("report.png")
EVERY = 10  # steps between evaluations
SHOWN = "header, section:has(#next-heading), section:has(#parallel-heading), section:has(#curves-heading)"
STYLE = f"""
main > :not({SHOWN}), details, .source, .findings li:nth-child(n+4) {{ display: none !important; }}
"""


def main():
    """Runs the search and takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", type=Path, metavar="FOLDER", help="a small search, drawn there: shows that it works")
    folder = parser.parse_args().quick
    jt.set_host_device_count()
    scheduler = digits.scheduler("halving", *((8, 160) if folder else (None, 3200)))
    confirm = jt.Confirm(top=2, replicates=2) if folder else jt.Confirm()
    result = digits.search(digits.task("mlp"), scheduler, EVERY, seed=0, confirm=confirm)
    result.test()
    take(result, folder / FILE.name if folder else FILE)


def take(result, path):
    """A picture of parts of a report, as wide as the README."""
    page = result.report(path.with_suffix(".html")).path
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        window = chromium.new_page(viewport={"width": 1000, "height": 800})
        window.goto(page.absolute().as_uri())
        window.wait_for_selector("body[data-ready]")
        window.add_style_tag(content=STYLE)
        window.wait_for_timeout(1000)  # until all is drawn
        window.screenshot(path=path, full_page=True)
        chromium.close()
    page.unlink()
    Image.open(path).quantize(64).save(path)  # small enough for a repository


if __name__ == "__main__":
    main()
