#!/usr/bin/env python3
"""Checks that every relative link in a document leads to a file, every anchor to a heading of it, and that every path in
backticks exists.

usage: .ci/links.py
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
# Paths from the repository's root, in backticks, except those of an example.
PATH = re.compile(r"`((?:\.ci|\.github|benches|crates|docs|events|fuzz|migrations|src|terraform|tests)/[\w./-]*)`")
EXAMPLE = "visitor_language"
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text):
    """Yields the anchors that GitHub gives a document's headings."""
    seen = {}
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*$", FENCE.sub("", text), re.MULTILINE):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = seen.get(anchor, 0)
        seen[anchor] = number + 1
        yield f"{anchor}-{number}" if number else anchor


def main():
    documents = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()
    wrong, checked = [], 0
    for name in documents:
        path = ROOT / name
        if not path.is_file():
            continue
        text = FENCE.sub("", path.read_text())
        for target in PATH.findall(text):
            checked += 1
            if not (ROOT / target).exists() and EXAMPLE not in target:
                wrong.append(f"{name}: `{target}`: no such file")
        # Inline code may look like a link.
        text = re.sub(r"`[^`\n]*`", "", text)
        for target in (first or second for first, second in LINK.findall(text)):
            if re.match(r"[a-z]+:", target):
                continue
            checked += 1
            file, _, anchor = target.partition("#")
            linked = (path.parent / unquote(file)).resolve() if file else path
            if not linked.exists():
                wrong.append(f"{name}: {target}: no such file")
            elif anchor and linked.suffix == ".md" and anchor not in anchors(linked.read_text()):
                wrong.append(f"{name}: {target}: no such heading")
    print("\n".join(wrong) or f"all {checked} links and paths exist")
    sys.exit(1 if wrong else 0)


main()
