"""How `report.html` looks, light and dark, and the one script in it."""

from __future__ import annotations

# In the page itself, not beside it: a report is sent as one file, and opened without a network.
STYLE = """
:root {
  color-scheme: light dark;
  --text: #1b1b1b; --quiet: #666; --pale: #8a8a8a; --page: #fff; --panel: #f5f5f5; --line: #ddd;
  --bar: #fff4d6; --bar-edge: #e0a100;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e6e6e6; --quiet: #a9a9a9; --pale: #8f8f8f; --page: #16181b; --panel: #24272b;
    --line: #3b3f45; --bar: #3a2f10; --bar-edge: #c99400;
  }
}
body {
  font: 15px/1.45 system-ui, sans-serif; max-width: 1300px; margin: 14px auto; padding: 0 16px;
  color: var(--text); background: var(--page); overflow-wrap: break-word;
}
h1 { font-size: 22px; line-height: 1.25; margin: 0 0 8px; }
h2 { font-size: 17px; margin: 16px 0 6px; }
h3 { font-size: 15px; margin: 12px 0 4px; }
p, ul { margin: 6px 0; }
ul { padding-left: 20px; }
code {
  font-size: 0.88em; background: var(--panel); padding: 0.05em 0.25em; border-radius: 3px;
  overflow-wrap: anywhere;
}
pre { background: var(--panel); padding: 10px; white-space: pre-wrap; }
pre code { padding: 0; }
blockquote {
  background: var(--bar); border-left: 5px solid var(--bar-edge); margin: 8px 0; padding: 4px 12px;
}
blockquote p { margin: 3px 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td {
  border-bottom: 1px solid var(--line); padding: 2px 6px; text-align: left; vertical-align: top;
}
th { vertical-align: bottom; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td { overflow-wrap: anywhere; }
td:first-child:not(.n) { min-width: min(23em, 40vw); }
.cards td:first-child, .arms td:first-child, .pairs td:first-child { min-width: 0; }
td.n { white-space: nowrap; }
table.arms td { color: var(--pale); }
table.arms td.n, table.arms td:first-child, table.arms strong { color: var(--text); }
table.arms td:first-child { white-space: nowrap; }
th[aria-sort] { cursor: pointer; }
th[aria-sort="ascending"]::after { content: " ▲"; }
th[aria-sort="descending"]::after { content: " ▼"; }
.filter { margin: 6px 0; font: inherit; font-size: 13px; padding: 2px 6px; width: 18em; }
.cards table {
  border-collapse: separate; border-spacing: 12px 0; table-layout: fixed; font-size: 14px;
  width: 100%; margin: 4px 0;
}
.cards { margin: 0 -12px; }
.cards th, .cards td { border: 0 solid var(--line); border-width: 0 1px; padding: 2px 12px; }
.cards th {
  border-top-width: 1px; border-radius: 8px 8px 0 0; padding-top: 8px; color: var(--quiet);
  font-size: 12px; font-weight: 500; text-transform: uppercase;
}
.cards th:first-child { width: 40%; }
.cards tr:first-child td { font-size: 18px; }
.cards tr:nth-child(n + 3) td { color: var(--quiet); font-size: 13px; }
.cards tr:last-child td {
  border-bottom-width: 1px; border-radius: 0 0 8px 8px; padding-bottom: 8px;
}
.columns { display: grid; grid-template-columns: minmax(0, 2.9fr) minmax(0, 1fr); gap: 18px; }
.columns table { width: 100%; }
.columns p { font-size: 13px; color: var(--quiet); }
.columns p strong { color: var(--text); }
.columns ul { font-size: 13px; line-height: 1.4; margin: 4px 0; padding-left: 18px; }
.pairs {
  display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 28px; align-items: start;
}
@media (max-width: 1000px) {
  .columns, .pairs { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 760px) {
  .cards table { display: grid; grid-template-columns: minmax(0, 1fr); }
  .cards thead, .cards tbody, .cards tr { display: contents; }
  .cards { margin: 0; }
  .cards th { margin-top: 10px; }
  .cards th:first-child { width: auto; }
  .cards td:empty { display: none; }
  .cards :is(th, td):nth-child(2) { order: 2; }
  .cards :is(th, td):nth-child(3) { order: 3; }
}
img { max-width: min(100%, 760px); max-height: 620px; background: #fff; }
details { border-top: 1px solid var(--line); padding: 6px 0; }
summary { cursor: pointer; font-weight: 600; }
details details { border: 0; padding: 2px 0; }
details details > summary { font-weight: 400; color: var(--quiet); }
"""
"""Every colour is a variable, so that the dark page has none of the light one's.

On a phone the cells of the cards become items of a grid with one column, ordered by the column that
they had: the cards stand one below the other.
"""

SCRIPT = """
for (const table of document.querySelectorAll(".wide table")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 3 || table.closest(".cards")) continue;
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/,/g, ""));
    const unit = {k: 1e3, M: 1e6, G: 1e9}[text.slice(-1)] || 1;
    return Number.isNaN(number) ? text : number * unit;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.setAttribute("aria-sort", "none");
    head.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows];
      rows.sort((a, b) => sign * compare(value(a, column), value(b, column)));
      body.append(...rows);
    });
  });
  if (!table.classList.contains("arms") || body.rows.length < 12) continue;
  const filter = document.createElement("input");
  filter.className = "filter";
  filter.placeholder = "filter arms, e.g. strong";
  filter.setAttribute("aria-label", "filter arms");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(" ").filter(Boolean);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
  });
  table.parentElement.before(filter);
}
"""
"""Click a heading to sort by it, type to filter the arms; a dozen rows are seen at once."""
