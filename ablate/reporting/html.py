"""The report as one HTML file that needs nothing else: no network, no script, pictures inside. Turns just the Markdown that `report.py` writes into HTML."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; } h3 { margin-top: 1.8rem; }
code { font-size: 0.86em; background: #f2f2f2; padding: 0.1em 0.25em; border-radius: 3px; overflow-wrap: anywhere; }
pre { background: #f2f2f2; padding: 0.8rem; overflow-x: auto; } pre code { padding: 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.88rem; }
th, td { border: 1px solid #ddd; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top; }
th { background: #f7f7f7; } td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; } summary { cursor: pointer; }
"""
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
_STAR = "\x00"
_INLINE = re.compile(r"(`[^`]*`)")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def page(markdown: str, images: Mapping[str, bytes]) -> str:
    """Return the page. `images`: path as the Markdown names it -> SVG. Links to files beside the report become plain text: the page stands alone."""
    lines = markdown.splitlines()
    title = html.escape(next((line[2:] for line in lines if line.startswith("# ")), "Ablation report"))
    body = "\n".join(_blocks(lines, images))
    head = f'<head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


def _blocks(lines: list[str], images: Mapping[str, bytes]) -> Iterator[str]:
    place = 0
    while place < len(lines):
        line = lines[place]
        end = place + 1
        if line.startswith("```"):
            end = lines.index("```", place + 1) + 1
            yield f"<pre><code>{html.escape(chr(10).join(lines[place + 1 : end - 1]))}</code></pre>"
        elif line.startswith("|"):
            end = _last_of(lines, place, "|")
            yield _table(lines[place:end])
        elif line.startswith("- "):
            end = _last_of(lines, place, "- ")
            yield "<ul>" + "".join(f"<li>{_inline(item[2:])}</li>" for item in lines[place:end]) + "</ul>"
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            yield f"<h{level}>{_inline(line[level + 1 :])}</h{level}>"
        elif line.startswith("<"):
            yield line  # <details> of our own
        elif found := _IMAGE.fullmatch(line):
            yield _picture(found[1], images[found[2]])
        elif line:
            yield f"<p>{_inline(line)}</p>"
        place = end


def _last_of(lines: list[str], start: int, prefix: str) -> int:
    return next((place for place in range(start, len(lines)) if not lines[place].startswith(prefix)), len(lines))


def _table(lines: list[str]) -> str:
    header, rule, *rows = [_cells(line) for line in lines]
    kinds = [' class="n"' if mark.endswith(":") else "" for mark in rule]
    head = "".join(f"<th{kind}>{_inline(cell)}</th>" for kind, cell in zip(kinds, header, strict=True))
    body = "\n".join("<tr>" + "".join(f"<td{kind}>{_inline(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>" for row in rows)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _inline(text: str) -> str:
    """Code spans as they are, then links (their text alone) and emphasis."""
    parts = _INLINE.split(_LINK.sub(r"\1", text))
    plain = "".join(f"<code>{html.escape(part[1:-1])}</code>" if part.startswith("`") else html.escape(part).replace("**", _STAR) for part in parts)
    pieces = plain.split(_STAR)
    return "".join(f"<strong>{piece}</strong>" if place % 2 else piece for place, piece in enumerate(pieces))


def _picture(alt: str, svg: bytes) -> str:
    return f'<p><img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"></p>'
