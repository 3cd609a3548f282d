"""Words that people chose, quoted: nothing is markup or a formula, and they can still be read."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.quoting import REPLACEMENT, cell, code, from_cell, one_line, text, without_folders
from ablate.reporting.evidence.frames import csv_text
from ablate.reporting.pages.html import page
from ablate.reporting.text.markdown import code_block, picture, table

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</details>",
    "<details><summary>1 run</summary>", "</td></tr></table>", "<!-- x", "<?php", "]]>",
    "[x](javascript:alert(1))", "![x](http://a/b.png)", "[a]: http://b", "<http://a.b>",
    "http://a.b/c", "[^1]", "a|b", "a\\|b", "a\\\\|b", "\\", "`", "``", "```", "`a``b",
    "# heading", "#", "a #", "- item", "+ item", "* item", "1. item", "1) item", "> quote", "---",
    "***", "___", "===", "~~~", "    indented", "\tcode", "a\nb", "a\n\n# b", "a\r\n- b",
    "a\u2028b", "a\x0bb", "a\x0cb", "*a*", "**a**", "_a_", "__a__", "~a~", "~~a~~", "$a$",
    "$$a$$", "&lt;b&gt;", "&amp;", "&#60;", "&", '"', "'", "\"'><b>", "a  \nb", "\u202egnp.exe",
    "\u2066a", "\u05d0\u05d1\u05d2", "\u0645\u0631\u062d\u0628\u0627", "\x00", "\x1b[31m",
    "\udcff", "\ufeffa", "", " ", "---\nmodel_name: x\n---", "{{x}}", "%s", "|", "|---|",
]  # fmt: skip
NAMES = (
    st.sampled_from(HOSTILE)
    | st.text(max_size=12)
    | st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=3).map("".join)
)


def elements(page_text: str) -> list[str]:
    """Every tag with its attributes' names, in order."""
    return [re.sub(r'="[^"]*"', "", tag) for tag in re.findall(r"<[^>]*>", page_text)]


def shown(page_text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page_text.partition("<body>")[2]))


def document(name: str) -> str:
    """Every place of a report where words stand, with one name in all of them."""
    words = text(name) or "none"  # nothing stands alone where a name may be blank
    rows = table(["arm", words], [[code(name), words], ["end", "1"]], n_text_columns=2)
    lines = [
        f"# {words}",
        f"- {words}\n- {words} and {code(name)}\n- Data: **{words}**",
        words,
        f"## {code(name)} and {words}",
        rows,
    ]
    unfolded = f"<details><summary>2 runs</summary>\n\n{rows}\n\n</details>"
    return "\n\n".join(
        [
            *lines,
            picture("arms", name, folder="figures"),
            code_block(one_line(name), language="sh"),
            unfolded,
            "The end.",
        ]
    )


@given(NAMES)
def test_no_name_gives_an_element_that_a_harmless_one_does_not(name: str) -> None:
    images = {"figures/arms.svg": b"<svg/>"}
    seen = page(document(name), images)
    harmless = elements(page(document("harmless"), images))
    if "\\|" in one_line(name):  # told without a code span
        assert not Counter(elements(seen)) - Counter(harmless)
    else:
        assert elements(seen) == harmless
    words = " ".join(one_line(name).split())
    assert "".join(words.split()) in "".join(shown(seen).split())
    seen.encode()


@pytest.mark.parametrize(
    "name",
    [
        "my_data_set",
        "Oxford Flowers-102",
        "R&D",
        "C major",
        "freeze_depth=all",
        "0.001, 0.01",
        "-1",
        "a/b.png",
        "5 % (n = 3)",
        "über",
    ],
)
def test_a_harmless_name_is_written_as_it_is(name: str) -> None:
    assert text(name) == name
    assert code(name) == f"`{name}`"
    assert cell(name) == name


def test_whole_texts() -> None:
    assert (
        text("<b> | [x](y) *a* _b_ a_b $c$ #1 &lt; \\")
        == "&lt;b&gt; &#124; \\[x\\](y) \\*a\\* \\_b\\_ a_b \\$c\\$ \\#1 &amp;lt; \\\\"
    )
    assert [text(name) for name in ("- a", "1. a", "12) a", "+", "===", "-1")] == [
        "\\- a",
        "1\\. a",
        "12\\) a",
        "\\+",
        "\\===",
        "-1",
    ]
    assert [code(name) for name in ("", "a`b", "a|b", "a\\|b")] == [
        "` `",
        "`a'b`",
        "`a|b`",
        "a\\\\&#124;b",
    ]
    assert one_line("a\nb\u2029c\x00\u202e\udcff") == f"a b c{REPLACEMENT * 3}"
    assert code_block("a ``` b\n", language="sh") == "````sh\na ``` b\n````"


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "=cmd|'/c calc'!A0",
    "-cmd",
    "\uff1d1",
    "'=1",
    "''=1",
    "+",
    "-",
    "-1|=2",
]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_that_a_spreadsheet_would_compute_gets_an_apostrophe(name: str) -> None:
    assert cell(name) == f"'{name}"


@pytest.mark.parametrize(
    "number",
    ["-1", "+1.5", "-1e-05", "-0", "3", "-1|0", "-1|-2", "-1 x light", "-1|0 x -2", "all x -1"],
)
def test_negative_numbers_stay_numbers(number: str) -> None:
    assert cell(number) == number


@given(st.sampled_from([*FORMULAS, *HOSTILE]) | st.text(max_size=8))
def test_cells_are_read_back(name: str) -> None:
    kept = re.sub("[\ud800-\udfff]", REPLACEMENT, name)
    assert from_cell(cell(name)) == kept
    frame = pd.DataFrame(
        {"label": [kept, "b"], "n": [-1, 2], "score": [-0.5, float("nan")]}
    ).rename(columns={"n": f"{kept} "})
    header, first, _ = csv.reader(io.StringIO(csv_text(frame), newline=""))
    assert [from_cell(column) for column in header] == ["label", f"{kept} ", "score"]
    assert [from_cell(first[0]), *first[1:]] == [kept, "-1", "-0.5"]
    for printed in (*header, first[0]):
        assert not printed.startswith(("=", "@", "\t", "\r"))
        # A plus only before a number, `+0`: those stay as they are, see the test above.
        if printed.startswith("+"):
            assert [float(number) for number in re.split(r"\||\x20x\x20", printed)]


def test_classes_of_the_same_name_keep_their_columns() -> None:
    frame = pd.DataFrame([[1, 2.0, True]], columns=["a", "a", "=a"])
    assert csv_text(frame) == "a,a,'=a\n1,2,true\n"
    assert csv_text(pd.DataFrame(columns=["=a"])) == "'=a\n"


@pytest.mark.parametrize(
    ("message", "without"),
    [
        ("cannot read /home/ada/data/cats/1.png: broken", "cannot read …/1.png: broken"),
        (
            "[Errno 2] No such file: '/home/ada/my data/x y.png'",
            "[Errno 2] No such file: '…/x y.png'",
        ),
        ("C:\\Users\\ada\\x.png is gone", "…/x.png is gone"),
        ("sqlite:////srv/ada/mlflow.db (file:///home/ada/x.csv)", "…/mlflow.db (…/x.csv)"),
        (
            "see https://example.org/a/b, train/val and 1/2",
            "see https://example.org/a/b, train/val and 1/2",
        ),
        ("pictures/cats/1.png", "pictures/cats/1.png"),
        ("PosixPath('/tmp/a/b')", "PosixPath('…/b')"),
    ],
)
def test_messages_lose_the_folders_of_the_machine(message: str, without: str) -> None:
    assert without_folders(message) == without
