"""Draws architecture.svg from the code's imports: the folders of jaxtune, floor by floor, and who imports whom."""

import argparse
import ast
from html import escape
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

FILE = Path(__file__).with_suffix(".svg")
ROOT = Path(__file__).parents[1] / "jaxtune"
WIDTH, BOX, HEIGHT, GAP = 1000, 306, 82, 34  # of the picture and its boxes, in pixels
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#2D3748}.name{font-weight:700;font-size:15px}"
    "rect{fill:#EBF4FF;stroke:#2B6CB0;rx:8}path{fill:none;stroke:#7F8FA3;stroke-width:1.4;marker-end:url(#tip)}"
)


def imported() -> dict[str, set[str]]:
    """Folder -> folders that its files import, those left out that another one of them imports too."""
    names = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    direct = {name: _imports(ROOT / name) & names - {name} for name in names}
    direct["cli"] |= {"practice"}  # by the public names
    below = {name: _below(name, direct) for name in names}
    return {
        name: {other for other in found if not any(other in below[third] for third in found)}
        for name, found in direct.items()
    }


def _imports(folder: Path) -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py"))
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {str(node.module).split(".")[1] for node in nodes if str(node.module).startswith("jaxtune.")}


def _below(name: str, direct: dict[str, set[str]]) -> set[str]:
    return {deep for other in direct[name] for deep in (other, *_below(other, direct))}


def floors(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Folders by floor, the top first: each stands just below the lowest that imports it."""

    def depth(name: str) -> int:
        return max((1 + depth(other) for other, found in arrows.items() if name in found), default=0)

    depths = {name: depth(name) for name in sorted(arrows)}
    depths["training"] = depths["engine"]  # which nobody but users imports
    rows = [[name for name in depths if depths[name] == floor] for floor in range(max(depths.values()) + 1)]
    for row, below in pairwise(rows):
        row.sort(key=lambda name: bool(arrows[name] & set(below)))  # who passes a floor by stands aside
    return rows


def described(folder: str) -> str:
    """The first sentence of a folder's docstring."""
    doc = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(doc.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".").replace("`", "")


def draw() -> str:
    """The picture, as SVG."""
    arrows = imported()
    rows = floors(arrows)
    place = {}
    for floor, names in enumerate(rows):
        for column, name in enumerate(names):
            left = (WIDTH - len(names) * (BOX + GAP) + GAP) / 2 + column * (BOX + GAP)
            place[name] = left, 10 + floor * (HEIGHT + GAP)
    height = 20 + len(rows) * (HEIGHT + GAP) - GAP
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">',
        f'<style>{STYLE}</style><defs>{tip}<path d="M0 0 8 4 0 8z" style="fill:#7F8FA3;stroke:none"/></marker></defs>',
        *(_arrow(place[name], place[other]) for name in sorted(arrows) for other in sorted(arrows[name])),
        *(_box(name, *place[name]) for name in sorted(place)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    x, to_x, y = x + BOX / 2, to_x + BOX / 2, y + HEIGHT
    x += 0.25 * max(-BOX, min(BOX, to_x - x))  # arrows of one box leave it apart
    return f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {y + GAP:.0f} {to_x:.0f} {to_y - GAP:.0f} {to_x:.0f} {to_y:.0f}"/>'


def _box(name: str, x: float, y: float) -> str:
    lines = wrap(described(name), 42)
    texts = [f'<text x="{x + 12:.0f}" y="{y + 38 + 16 * n:.0f}">{escape(line)}</text>' for n, line in enumerate(lines)]
    title = f'<text class="name" x="{x + 12:.0f}" y="{y + 20:.0f}">{name}/</text>'
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX}" height="{HEIGHT}"/>{title}{"".join(texts)}'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FILE.parent, help="where the picture goes")
    parser.add_argument("--quick", action="store_true", help="changes nothing: it is quick")
    (parser.parse_args().folder / FILE.name).write_text(draw(), encoding="utf-8")
