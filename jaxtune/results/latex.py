"""Tables for papers, in the style of LaTeX's booktabs."""

from collections.abc import Sequence

_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
)


def tabular(heading: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[str]) -> str:
    r"""A `tabular`, its first column to the left and all others to the right; needs `\usepackage{booktabs}`.

    Args:
        heading: One text per column.
        rows: Texts.
        last: A row below a line of its own.
    """
    body = [r"\toprule", _row(heading), r"\midrule", *map(_row, rows), r"\midrule", _row(last), r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}", *body, r"\end{tabular}"])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cell.translate(_SPECIAL) for cell in cells) + r" \\"
