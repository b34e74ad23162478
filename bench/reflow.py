#!/usr/bin/env python3
"""Puts one sentence on a line of Markdown, at most 120 columns: `bench/reflow.py FILE...`.

For pages that programs write. Tables, headings, pictures and fenced blocks stay as they are.
"""

import pathlib
import re
import sys

WIDTH = 120
# The end of a sentence, and the beginning of the next: not the dot of `1.` or of `e.g. this`.
SENTENCES = re.compile(r"(?<=[^\d\s][.])\s+(?=[A-Z*`\"])|(?<=\d[.])\s+(?=[A-Z][a-z])")
ITEM = re.compile(r"\s*(?:- |\d+\. )")
AS_IT_IS = ("|", "#", "![", "[")


def broken(line, indent):
    """The parts of a line, each within the width: broken behind a clause, or else a word."""
    while len(line) > WIDTH:
        head = line[:WIDTH]
        clauses = [part.end() for part in re.finditer(r"[,;:] ", head)]
        cut = clauses[-1] if clauses and clauses[-1] > WIDTH // 3 else head.rindex(" ") + 1
        yield line[:cut].rstrip()
        line = indent + line[cut:]
    yield line


def paragraph(lines):
    """A paragraph or a row of a list, a sentence a line."""
    mark = ITEM.match(lines[0])
    first = mark.group() if mark else ""
    text = " ".join(line.strip() for line in lines)[len(first.lstrip()) :]
    for sentence in SENTENCES.split(text):
        yield from broken(first + sentence, " " * len(first))
        first = " " * len(first)


def reflow(text):
    """The page."""
    done, open_lines, fenced = [], [], False
    for line in [*text.rstrip("\n").split("\n"), ""]:
        fence = line.lstrip().startswith("```")
        kept = fence or fenced or not line.strip() or line.lstrip().startswith(AS_IT_IS)
        if open_lines and (kept or ITEM.match(line)):
            done += paragraph(open_lines)
            open_lines = []
        if kept:
            done.append(line)
        else:
            open_lines.append(line)
        fenced ^= fence
    return "\n".join(done)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = pathlib.Path(name)
        path.write_text(reflow(path.read_text()))
