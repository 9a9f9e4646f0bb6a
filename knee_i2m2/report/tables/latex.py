r"""The headline as a LaTeX table (`booktabs`)."""

from __future__ import annotations

from knee_i2m2.report.elements.cells import Cell, Table

__all__ = ["escape_latex", "latex"]

_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "\u2212": r"$-$",
    "\u00a0": "~",
    "\n": " ",
}


def escape_latex(text: str) -> str:
    r"""Returns text with the special characters of LaTeX escaped.

    Example:
        >>> print(escape_latex("a_b & 5 %"))
        a\_b \& 5 \%
    """
    return "".join(_ESCAPES.get(character, character) for character in text)


def latex(table: Table, caption: str) -> str:
    """Returns a table with value and interval in every cell; a dash if not estimable.

    Args:
        table: The table.
        caption: Caption, as plain text.
    """
    head = " & ".join(map(escape_latex, (table.corner, *table.columns)))
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *(rf"{_row(name, cells)} \\" for name, cells in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join([*lines, ""])


def _row(name: str, cells: tuple[Cell, ...]) -> str:
    option = name.lstrip().startswith(("[", "*"))  # of the row above, which looks for one past spaces
    guarded = f"{{}}{escape_latex(name)}" if option else escape_latex(name)
    return " & ".join([guarded, *map(_cell, cells)])


def _cell(one: Cell) -> str:
    return "--" if one.missing else escape_latex(f"{one.value} {one.interval}".strip())
