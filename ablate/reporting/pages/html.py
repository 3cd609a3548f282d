"""The report as one HTML file that needs nothing else: no network, pictures inside.

markdown-it reads the Markdown, with raw HTML switched off: no name that a user chose can become
an element. The blocks of HTML that the report writes itself, to unfold or to lay out, have their
own rule. A script sorts and filters tables; without it they are as they are in the Markdown.
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

from ablate.reporting.pages.page_style import SCRIPT, STYLE
from ablate.reporting.text.layout import CARDS, COLUMNS, PAIRS

# words alone: a summary is set by the report, and nothing else may open an element
_SUMMARY = re.compile(r"<details><summary>([\w ?,]+)</summary>")
_DETAILS_END = "</details>"
_LAYOUT = {
    CARDS[0]: '<div class="cards">',
    CARDS[1]: "</div>",
    COLUMNS[0]: '<div class="columns"><div>',
    COLUMNS[1]: "</div><div>",
    COLUMNS[2]: "</div></div>",
    PAIRS[0]: '<div class="pairs"><div>',
    PAIRS[1]: "</div><div>",
    PAIRS[2]: "</div></div>",
}
"""Comments of the Markdown, which GitHub hides -> elements of the page."""
_BAR = "> [!WARNING]\n"
"""How GitHub marks a warning; the page's bar needs no mark."""


def page(markdown: str, images: Mapping[str, bytes]) -> str:
    """The page. `images`: path as the Markdown names it -> SVG.

    Links become plain text: the page stands alone, and the cards are not beside it.
    """
    reader = _reader()
    # the same text as README.md: what the two say cannot differ
    tokens = reader.parse(markdown.replace(_BAR, ""))
    body = reader.renderer.render(tokens, reader.options, {"images": images})
    title = f"<title>{html.escape(_title(tokens))}</title>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}{title}<style>{STYLE}</style></head>"
    end = f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}{end}'


@cache
def _reader() -> MarkdownIt:
    # commonmark as GitHub reads it, with the one extension that the report uses
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    # `alt`: the rule may end a paragraph, as the two lines around the list have no empty line each.
    reader.block.ruler.before("paragraph", "layout", _layout, {"alt": ["paragraph"]})
    # the words of a link stay
    for name in ("link_open", "link_close"):
        reader.add_render_rule(name, _nothing)
    reader.add_render_rule("layout", _as_written)
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
            words = [child.content for child in content.children or ()]
            return "".join(words)
    return "Ablation report"


def _layout(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """Read a line that opens or closes a block, as the report writes it, only if outermost."""
    line = state.src[state.bMarks[start] : state.eMarks[start]]
    element = _LAYOUT.get(line)
    if element is None and (line == _DETAILS_END or _SUMMARY.fullmatch(line)):
        element = line
    # within a list or a quotation such a line is somebody's text
    if state.level > 0 or element is None:
        return False
    # silent: markdown-it only asks whether the rule would apply
    if not silent:
        token = state.push("layout", "", 0)
        token.content = element
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
    # SVG alone: sharp at every size
    svg = base64.b64encode(env["images"][token.attrs["src"]]).decode()
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{svg}">'


def _table_open(
    _self: RendererHTML, tokens: Sequence[Token], place: int, _options: OptionsDict, _env: EnvType
) -> str:
    # table_open, thead_open, tr_open, th_open, inline: arms are numbered, no other table is
    is_of_arms = tokens[place + 4].content == "#"
    kind = ""
    if is_of_arms:
        kind = ' class="arms"'
    return f'<div class="wide"><table{kind}>\n'


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
