"""Templates filled with values, names escaped for HTML and Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["plain", "render", "svg_document"]


def render(template: str, values: Mapping[str, Any]) -> str:
    """Returns a template of `templates/` with its values; names are escaped in HTML and, by `plain`, in Markdown."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=lambda name: bool(name) and name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"safe_markup": Markup, "plain": plain}
    return found.get_template(template).render(values)


def plain(text: object) -> str:
    """Returns text that Markdown takes for text."""
    escaped = " ".join(str(text).splitlines()).strip().replace("&", "&amp;").replace("<", "&lt;")
    quoted = "".join(f"\\{character}" if character in r"\`*_|~" else character for character in escaped)
    linkless = quoted.replace("](", "]\\(").replace("]:", "]\\:")  # else a name could be a link
    return re.sub(r"^(\d{1,9}(?=[.)](?:\s|$))|(?=[#>+=-]))", r"\1\\", linkless)  # or begin a list or a heading


def svg_document(svg: str) -> str:
    """Returns an SVG element as a file of its own."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg}'
