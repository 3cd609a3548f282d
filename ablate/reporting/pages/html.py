"""The report as one HTML file that needs nothing else: no network, no script, pictures inside.

markdown-it reads the Markdown, with raw HTML switched off: no name that a user chose can become
an element. The one block of HTML that the report writes itself, a list to unfold, has its own rule.
"""

from __future__ import annotations

import base64
import html
import itertools
import re
from collections.abc import Mapping, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_STYLE = """
body {
  font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff;
}
h1 { font-size: 1.7rem; line-height: 1.25; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
h3 { margin-top: 1.8rem; }
code {
  font-size: 0.86em; background: #f2f2f2; padding: 0.1em 0.25em; border-radius: 3px;
  overflow-wrap: anywhere;
}
pre { background: #f2f2f2; padding: 0.8rem; overflow-x: auto; }
pre code { padding: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.88rem; }
th, td { border: 1px solid #ddd; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top; }
th { background: #f7f7f7; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; }
summary { cursor: pointer; }
"""
_SUMMARY = re.compile(r"<details><summary>([\w ]+)</summary>")
_DETAILS_END = "</details>"


def page(markdown: str, images: Mapping[str, bytes]) -> str:
    """The page. `images`: path as the Markdown names it -> SVG.

    Links become plain text: the page stands alone, and the cards are not beside it.
    """
    reader = _reader()
    tokens = reader.parse(markdown)
    body = reader.renderer.render(tokens, reader.options, {"images": images})
    title = f"<title>{html.escape(_title(tokens))}</title>"
    head = f'<head><meta charset="utf-8">{title}<style>{_STYLE}</style></head>'
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}</body>\n</html>\n'


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    # `alt`: the rule may end a paragraph, as the two lines around the list have no empty line each.
    reader.block.ruler.before("paragraph", "details", _details, {"alt": ["paragraph"]})
    for name in ("link_open", "link_close"):
        reader.add_render_rule(name, _nothing)
    reader.add_render_rule("details", _as_written)
    reader.add_render_rule("image", _picture)
    reader.add_render_rule("table_open", _table_open)
    reader.add_render_rule("table_close", _table_close)
    reader.add_render_rule("th_open", _cell_open)
    reader.add_render_rule("td_open", _cell_open)
    reader.add_render_rule("fence", _fence)
    return reader


def _title(tokens: Sequence[Token]) -> str:
    """The words of the first heading."""
    for opening, content in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            return "".join(child.content for child in content.children or ())
    return "Ablation report"


def _details(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """Read the two lines around a list to unfold, as the report writes them, only if outermost."""
    line = state.src[state.bMarks[start] : state.eMarks[start]]
    opening = _SUMMARY.fullmatch(line)
    if state.level > 0 or not (opening or line == _DETAILS_END):
        return False
    if not silent:
        token = state.push("details", "", 0)
        token.content = line if opening else _DETAILS_END
        token.map = [start, start + 1]
        state.line = start + 1
    return True


def _nothing(
    _self: RendererHTML, _tokens: Sequence[Token], _place: int, _options: OptionsDict, _env: EnvType
) -> str:
    return ""


def _as_written(
    _self: RendererHTML, tokens: Sequence[Token], place: int, _options: OptionsDict, _env: EnvType
) -> str:
    return f"{tokens[place].content}\n"


def _picture(
    self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[place]
    alt = html.escape(self.renderInlineAsText(token.children, options, env))
    svg = base64.b64encode(env["images"][token.attrs["src"]]).decode()
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{svg}">'


def _table_open(
    _self: RendererHTML, _tokens: Sequence[Token], _place: int, _options: OptionsDict, _env: EnvType
) -> str:
    return '<div class="wide"><table>\n'


def _table_close(
    _self: RendererHTML, _tokens: Sequence[Token], _place: int, _options: OptionsDict, _env: EnvType
) -> str:
    return "</table></div>\n"


def _cell_open(
    _self: RendererHTML, tokens: Sequence[Token], place: int, _options: OptionsDict, _env: EnvType
) -> str:
    token = tokens[place]
    # A column of numbers: markdown-it marks it with a style, the page's own style has a class.
    if token.attrs.get("style") == "text-align:right":
        return f'<{token.tag} class="n">'
    return f"<{token.tag}>"


def _fence(
    _self: RendererHTML, tokens: Sequence[Token], place: int, _options: OptionsDict, _env: EnvType
) -> str:
    return f"<pre><code>{html.escape(tokens[place].content)}</code></pre>\n"
