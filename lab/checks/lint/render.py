"""Findings as text, JSON or SARIF."""

import json
import re
from collections.abc import Sequence

from lab.checks.lint.finding import SEVERITIES, Rule, Said

FORMATS = ("text", "json", "sarif")

MOST_NAMED = 6
"""Further layers of one kind of finding that a line names."""


def as_text(said: Sequence[Said]) -> str:
    """A paragraph for each kind of finding, with all its layers, and a line that counts them."""
    alike: dict[tuple[str, ...], list[Said]] = {}
    for one in said:
        what = "" if one.finding.layer else one.finding.what  # of one layer after another the first speaks for all
        alike.setdefault((one.severity, one.rule.code, one.finding.fix, what), []).append(one)
    counts = [(sum(one.severity == word for one in said), word) for word in SEVERITIES]
    told = [f"{number} {word}{'s' * (number != 1)}" for number, word in counts if number]
    return "\n".join([*map(paragraph, alike.values()), ", ".join(told) or "nothing found"])


def paragraph(alike: Sequence[Said]) -> str:
    """Findings of one rule: severity and code, where, what, why, and what to change."""
    first = alike[0]
    place = f" {first.finding.layer}" if first.finding.layer else ""
    place += f" {first.finding.shape}" if first.finding.shape else ""
    lines = [f"{first.severity}[{first.rule.code}]{place}: {first.finding.what}"]
    if others := [one.finding.layer for one in alike[1:]]:
        lines.append(f"the same at: {', '.join(others[:MOST_NAMED])}{' ...' if len(others) > MOST_NAMED else ''}")
    fix = [f"fix: {first.finding.fix}"] if first.finding.fix else []
    return "\n  ".join([*lines, f"why: {reason(first.rule)}", *fix]) + "\n"


def reason(rule: Rule) -> str:
    """Why a rule says what it says, with its source, on one line."""
    title, _, rest = re.split(r"\n\n(?:Args|Raises|Returns):", rule.why)[0].partition("\n\n")
    return " ".join((rest or title).split())


def title(rule: Rule) -> str:
    """What a rule finds, in a few words."""
    return " ".join(rule.why.partition("\n\n")[0].split()).rstrip(".")


def explained(rule: Rule) -> str:
    """A rule with its severity, title and reason."""
    return f"{rule.code} ({rule.severity}): {title(rule)}\n  {reason(rule)}\n"


def as_json(said: Sequence[Said]) -> str:
    """A list of findings."""
    return json.dumps(
        [
            {
                "code": one.rule.code,
                "severity": one.severity,
                "layer": one.finding.layer,
                "shape": list(one.finding.shape),
                "what": one.finding.what,
                "why": reason(one.rule),
                "fix": one.finding.fix,
            }
            for one in said
        ],
        indent=1,
    )


def as_sarif(said: Sequence[Said]) -> str:
    """The findings in the Static Analysis Results Interchange Format 2.1.0; a layer is a logical location."""
    rules = {one.rule.code: one.rule for one in said}
    driver = {
        "name": "lab lint",
        "rules": [
            {"id": code, "shortDescription": {"text": title(rule)}, "fullDescription": {"text": reason(rule)}}
            for code, rule in rules.items()
        ],
    }
    results = [
        {
            "ruleId": one.rule.code,
            "level": one.severity,  # SARIF has the same three
            "message": {"text": f"{'; '.join(filter(None, (one.finding.what, one.finding.fix)))}"},
            "locations": [{"logicalLocations": [{"fullyQualifiedName": one.finding.layer or "(net)"}]}],
        }
        for one in said
    ]
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    runs = [{"tool": {"driver": driver}, "results": results}]
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": runs}, indent=1)


AS = {"text": as_text, "json": as_json, "sarif": as_sarif}
