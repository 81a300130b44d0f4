"""Alertmanager's matchers and inhibition, as its documentation has them: a label that is missing equals an empty one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Labels = Mapping[str, str]
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"?([^"]*)"?')


def matches(matcher: str, labels: Labels) -> bool:
    """Whether one matcher, such as `severity=~"a|b"`, holds for these labels."""
    parsed = _MATCHER.fullmatch(matcher)
    assert parsed is not None, matcher
    name, operator, wanted = parsed.groups()
    value = labels.get(name, "")
    holds = re.fullmatch(wanted, value) is not None if "~" in operator else value == wanted
    return holds is not operator.startswith("!")


def inhibits(rules: Sequence[Mapping[str, Any]], source: Labels, target: Labels) -> bool:
    """Whether a firing `source` mutes `target` by one of the rules."""
    return any(_by(rule, source, target) for rule in rules)


def _by(rule: Mapping[str, Any], source: Labels, target: Labels) -> bool:
    def has(side: str, labels: Labels) -> bool:
        return all(matches(matcher, labels) for matcher in rule[f"{side}_matchers"])

    if not has("source", source) or not has("target", target) or (has("source", target) and has("target", source)):
        return False
    return all(source.get(name, "") == target.get(name, "") for name in rule["equal"])
