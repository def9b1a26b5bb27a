#!/usr/bin/env python3
"""Compares every table or example that exists twice, and the names and numbers that documents take from the code.

usage: .ci/tables.py
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = "crates/dev/bench/results/latest.md"

# The README's rows of figures, and where `latest.md` has them: section and row.
FIGURES = {
    "start to the first response": ("Cold start", "start to the first response"),
    "page of 20 of 1,000 sessions": ("Page size", "page of 20"),
    "page of 50 of 1,000,000 sessions": ("Account size", "1,000,000 sessions"),
    "the same at offset 100,000": ("Offset", "offset 100,000"),
    "resident after 10,000 requests": ("Memory", "resident after 10,000 requests"),
    "package, unpacked": ("Package", "unpacked"),
}
# Columns of `latest.md`: the function, the function with materialized counts, Node, Python.
COLUMNS = [1, 2, 3, 5]

UNITS = {"from_millis": 1, "from_secs": 1_000, "from_mins": 60_000, "from_hours": 3_600_000}

faults = []


def text(name):
    return (ROOT / name).read_text()


def rows(document, heading):
    """The cells of the first table after a heading or a line that begins with it."""
    table = re.search(r"(?:^\|.*\n)+", document[document.index(heading) :], re.MULTILINE)[0]
    return [[cell.strip() for cell in row.removesuffix("|").split("|")[1:]] for row in table.strip().split("\n")[2:]]


def block(document, kind):
    """The first fenced block of a kind."""
    return re.search(rf"^```{kind}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)[1]


def compare(what, one, other):
    if one != other:
        left = [line for line in one if line not in other] if isinstance(one, list) else one
        right = [line for line in other if line not in one] if isinstance(other, list) else other
        faults.append(f"{what} differ:\n  {left}\n  {right}")


def check_variables(readme):
    code = re.sub(r"^//! ?", "", text("src/config.rs"), flags=re.MULTILINE)
    # Rust's documentation also links to the code.
    code = re.sub(r", see \[[^]]*\]", "", code)
    compare("the variables of README.md and src/config.rs", rows(readme, "## Configuration"), rows(code, "| variable"))


def check_flow(readme):
    code = re.sub(r"^//! ?", "", text("src/lib.rs"), flags=re.MULTILINE)
    compare("the steps of a request in README.md and src/lib.rs", block(readme, "text"), block(code, "text"))


def check_example(readme):
    compare("the responses in README.md and docs/contract.md", block(readme, "json"), block(text("docs/contract.md"), "json"))


def check_figures(readme):
    measured, section = {}, None
    for row in rows(text(RESULTS), "## Figures"):
        if row[0].startswith("**"):
            section = row[0].strip("*")
        else:
            measured[section, row[0]] = [re.sub(r" \(×.*\)|^–$", "", cell) for cell in row]
    for row in rows(readme, "## Figures"):
        found = measured.get(FIGURES.get(row[0]))
        if not found:
            faults.append(f"{RESULTS} has no row for the README's {row[0]}: see FIGURES")
            continue
        for cell, column in zip(row[1:], COLUMNS, strict=True):
            if cell and cell != found[column]:
                faults.append(f"README.md says {cell} for {row[0]}, {RESULTS} {found[column]}")


def check_faults(readme):
    everything = [row[:3] for row in rows(text("docs/reliability.md"), "## Faults")]
    for row in rows(readme, "`cargo dev soak` injects"):
        if row not in everything:
            faults.append(f"docs/reliability.md has no row {row}")


def constants():
    """Yields every constant duration of the code, in milliseconds, and the default of QUERY_TIMEOUT_MS."""
    for path in sorted((ROOT / "src").rglob("*.rs")):
        code = path.read_text()
        for name, unit, number in re.findall(r"const (\w+): Duration = Duration::(\w+)\(([\d_]+)\)", code):
            yield name, int(number.replace("_", "")) * UNITS[unit]
        for number in re.findall(r'"QUERY_TIMEOUT_MS", [^,]+, ([\d_]+)', code):
            yield "QUERY_TIMEOUT_MS", int(number.replace("_", ""))


def check_constants():
    code = dict(constants())
    reliability = text("docs/reliability.md")
    database = re.sub(r"^//! ?", "", text("src/database.rs"), flags=re.MULTILINE)
    tables = [
        ("docs/reliability.md", rows(reliability, "## Time-outs")),
        ("docs/reliability.md", rows(reliability, "| interval")),
        ("src/database.rs", rows(database, "| what |")),
    ]
    for document, table in tables:
        for _, said, name in table:
            name = name.strip("`[]")
            if not re.fullmatch(r"[\d.]+ s", said):
                continue
            milliseconds = round(float(said.removesuffix(" s")) * 1_000)
            if code.get(name) != milliseconds:
                faults.append(f"{document} says {said} for {name}, the code {code.get(name, 'has no such constant')}")


def check_retries():
    code = text("src/database.rs")
    made = dict(re.findall(r"(\w+): (\d+)", re.search(r"const RETRIES: Retries =\s+Retries \{(.*?)\}", code)[1]))
    document = text("docs/reliability.md")
    documented = {row[2].strip("`"): row[1] for row in rows(document, "| retried |")}
    compare("the retries of src/database.rs and docs/reliability.md", made, documented)
    total = sum(map(int, made.values()))
    executions = 1 + int(made["idle_connection_dead"]) + int(made["connection_lost"])
    bounds = f"opens at most {1 + total} connections and executes its statement at most {executions} times"
    if bounds not in re.sub(r"\s+", " ", document):
        faults.append(f"docs/reliability.md does not say that a query {bounds}")


def check_parameters():
    declared = {}
    template = text("template.yaml")
    part = re.search(r"^Parameters:\n(.*?)^\w", template, re.MULTILINE | re.DOTALL)[1]
    for name, body in re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", part, re.MULTILINE):
        default = re.search(r"^    Default: (.*)$", body, re.MULTILINE)
        declared[name] = default[1].strip("'\"") if default else ""
    documented = {}
    for names, defaults, *_ in rows(text("docs/deploy.md"), "## Parameters"):
        names, defaults = names.replace("`", "").split(", "), defaults.replace("`", "").split(", ")
        for index, name in enumerate(names):
            default = defaults[min(index, len(defaults) - 1)]
            documented[name] = "" if default == "none" else default
    for name in sorted(declared.keys() | documented.keys()):
        if declared.get(name) != documented.get(name):
            faults.append(f"{name}: template.yaml has {declared.get(name)!r}, docs/deploy.md {documented.get(name)!r}")


def check_alarms():
    declared = re.findall(r'AlarmName: !Sub "\$\{AWS::StackName\}-([\w-]+)', text("template.yaml"))
    documented = [row[0].strip("`") for row in rows(text("docs/deploy.md"), "## Alarms")]
    compare("the alarms of template.yaml and docs/deploy.md", sorted(declared), sorted(documented))


def check_indexes():
    built = re.findall(r"CREATE INDEX \S+ IF NOT EXISTS \w+\s+ON (.*);", text("migrations/0002_indexes.sql"))
    documented = [row[0].strip("`") for row in rows(text("docs/database.md"), "## Indexes")]
    compare("the indexes of migrations/0002_indexes.sql and docs/database.md", built, documented)


def check_role():
    # Its search_path is for the schema that the file is given.
    script = re.findall(r'^ALTER ROLE :"role" SET (\w+) = (.*);', text("docs/role.sql"), re.MULTILINE)
    made = {name: value.strip("'") for name, value in script if name != "search_path"}
    documented = {row[0].strip("`"): row[1] for row in rows(text("docs/database.md"), "The role has limits")}
    del documented["search_path"]
    compare("the settings of docs/role.sql and docs/database.md", made, documented)


def check_cases(readme):
    cases = len(json.loads(text("tests/contract/vectors.json"))["vectors"])
    for name, document in (("README.md", readme), ("docs/contract.md", text("docs/contract.md"))):
        if not re.search(rf"\b{cases} (test cases|requests)", document):
            faults.append(f"{name} does not say that there are {cases} test cases")


def check_steps():
    steps = subprocess.run([".ci/run", "--list"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    documented = [row[0].strip("`") for row in rows(text("CONTRIBUTING.md"), "## CI")]
    compare("the steps of .ci/run and CONTRIBUTING.md", re.findall(r"[\w-]+", steps), documented)


def check_tests():
    """Looks up the tests that CONTRIBUTING.md names: words in backticks with at least three underscores."""
    folders = ("src", "tests", "crates", "benches")
    code = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.rs"))
    tests = set(re.findall(r"fn (\w+)", code))
    for name in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", text("CONTRIBUTING.md")):
        if name not in tests:
            faults.append(f"CONTRIBUTING.md names the test {name}, and there is none")


def main():
    readme = text("README.md")
    for check in (check_variables, check_flow, check_example, check_cases, check_figures, check_faults):
        check(readme)
    for check in (check_constants, check_retries, check_parameters, check_alarms, check_indexes, check_role):
        check()
    for check in (check_steps, check_tests):
        check()
    print("\n".join(faults) or "everything that exists twice is the same")
    sys.exit(1 if faults else 0)


main()
