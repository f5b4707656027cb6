"""Pages in a real browser, without a network: Debian's Chromium, driven by Playwright.

Where there is no browser these tests are skipped, unless JAXTUNE_BROWSER=required, as .ci/run has it.
"""

import contextlib
import os
import shutil

import pytest

PATH = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    PATH is None and os.environ.get("JAXTUNE_BROWSER") != "required",
    reason="there is no Chromium: apt-get install chromium",
)


class Page:
    """A page that is open, and what went wrong on it."""

    def __init__(self, page):
        self.page, self.problems = page, []
        page.on("console", lambda m: m.type in ("error", "warning") and self.problems.append(m.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or self.problems.append(r.url))

    def open(self, path):
        self.page.goto(f"file://{path}")
        self.page.wait_for_selector("body[data-ready]", timeout=60_000)

    def js(self, code, argument=None):
        return self.page.evaluate(code, argument)

    @property
    def selected(self):
        """Ids of the selected trials, as the pictures have them."""
        table = "Bokeh.documents[0].get_model_by_name('trials')"
        return sorted(self.js(f"() => {table}.selected.indices.map(row => {table}.data.id[row])"))

    @property
    def status(self):
        return self.page.inner_text("#status")

    def figures(self):
        return self.js("() => Bokeh.documents[0].roots().map(f => f.name)")

    def at(self, name, x, y):
        """Where on the screen a point of a picture lies, once the picture is in view."""
        code = """([name, x, y]) => {
          const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name));
          view.el.scrollIntoView({block: 'center', behavior: 'instant'});
          const box = view.el.getBoundingClientRect(), f = view.frame;
          return [box.x + f.x_scale.compute(x), box.y + f.y_scale.compute(y)];
        }"""
        return self.js(code, [name, x, y])

    def brush(self, name, x0, y0, x1, y1):
        """Drags a box, in the picture's own numbers."""
        mouse = self.page.mouse
        (a, b), (c, d) = self.at(name, x0, y0), self.at(name, x1, y1)
        mouse.move(a, b)
        mouse.down()
        mouse.move((a + c) / 2, (b + d) / 2)
        mouse.move(c, d)
        mouse.up()
        self.page.wait_for_timeout(150)

    def pixel(self, name, x, y):
        """The strongest colour near a point of a picture, as (red, green, blue)."""
        import io

        from PIL import Image

        a, b = self.at(name, x, y)
        self.page.mouse.move(1, 1)
        self.page.wait_for_timeout(100)
        clip = {"x": a - 3, "y": b - 3, "width": 7, "height": 7}
        image = Image.open(io.BytesIO(self.page.screenshot(clip=clip))).convert("RGB")
        return max((image.getpixel((x, y)) for x in range(7) for y in range(7)), key=lambda rgb: max(rgb) - min(rgb))


@contextlib.contextmanager
def browser():
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@contextlib.contextmanager
def context(chromium, width=1280, **options):
    """A window without a network, that may use the clipboard."""
    options |= {"permissions": ["clipboard-read", "clipboard-write"]}
    made = chromium.new_context(offline=True, viewport={"width": width, "height": 900}, **options)
    yield made
    made.close()
