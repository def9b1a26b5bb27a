#!/usr/bin/env python3
"""Finds words to avoid in comments and documents (CONTRIBUTING.md, "Writing"): those that are wrong in every context.

usage: .ci/words.py [--count] [PATH...]        # all tracked files if no path is given
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The word to avoid, and what to write instead.
WORDS = {
    r"anew": "again",
    r"anybody": "anyone",
    r"as often as it takes": "repeatedly",
    r"all the same": "anyway, or nothing",
    r"at present": "now, currently",
    r"at the soonest": "at the earliest",
    r"beside": "next to, alongside, besides",
    r"heard of": "responded",
    r"in no time": "immediately",
    r"in turns": "alternately",
    r"in vain": "without success",
    r"leaves? away|leaving away|left away": "omit",
    r"meanwhile": "say when",
    r"nobody'?s": "unowned, for no account",
    r"that (?:is|are) none": "not a, invalid",
    r"who(?:m|se)?ever": "a caller that, a connection that, anyone who",
}
PATTERN = re.compile(r"\b(?:" + "|".join(f"(?P<w{n}>{word})" for n, word in enumerate(WORDS)) + r")\b", re.IGNORECASE)

# What begins a comment, by the suffix of the file's name. A document is text throughout, and so are templates, for their
# descriptions.
COMMENTS = {
    ".rs": "//",
    ".mjs": "//",
    ".ts": "//",
    ".sql": "--",
    ".py": "#",
    ".sh": "#",
    ".tf": "#",
    ".toml": "#",
    ".yaml": None,
    ".yml": "#",
    ".md": None,
}

# Not worded here: licences, and states of a database before an upgrade, which a test restores byte by byte.
QUOTED = re.compile(r"before_\w+\.sql$|^LICENSE")


def prose(path, text):
    """Yields the lines with their numbers, without code."""
    marker = COMMENTS.get(path.suffix, "#")
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if marker is None:
            if line.lstrip().startswith("```"):
                fenced = not fenced
                continue
            if fenced:
                continue
        else:
            begin = re.search(rf"(?:^|\s){re.escape(marker)}", line)
            if not begin:
                continue
            line = line[begin.start() :]
        # A word in backticks or quotation marks is a quotation.
        yield number, re.sub(r'`[^`]*`|"[^"]*"', "", line)


def main():
    count = "--count" in sys.argv[1:]
    paths = [argument for argument in sys.argv[1:] if argument != "--count"]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")
    found = Counter()
    for name in filter(None, listed):
        path = ROOT / name
        # Scripts have no suffix.
        is_script = not path.suffix and name.startswith(".ci/")
        if not path.is_file() or QUOTED.search(name) or not (path.suffix in COMMENTS or is_script):
            continue
        for number, line in prose(path, path.read_text()):
            for match in PATTERN.finditer(line):
                instead = WORDS[list(WORDS)[int(match.lastgroup[1:])]]
                found[name.split("/")[0] if "/" in name else "."] += 1
                if not count:
                    print(f"{name}:{number}: \"{match[0]}\": {instead}")
    if count:
        print("\n".join(f"{number:5} {folder}" for folder, number in found.most_common()))
    sys.exit(1 if found else 0)


main()
