"""What a PromQL expression names, by its parsed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import promql_parser as parser

_OF_COUNTERS = {"rate", "increase", "irate"}
_COUNTER_ENDS = ("_total", "_bucket", "_count", "_sum")


@dataclass(slots=True)
class Named:
    """Labels that are matched, by metric; labels that are grouped or joined by; labels that the expression makes; bare counters."""

    matched: dict[str, set[str]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    bare_counters: set[str] = field(default_factory=set)


def named(expr: str) -> Named:
    """Everything that `expr` names. ValueError if it is no PromQL."""
    found = Named()
    _walk(parser.parse(expr), found, under="")
    return found


def selectors(expr: str) -> set[str]:
    """Every selector of `expr`, as a query of its own."""
    return set(_selectors(parser.parse(expr)))


def _selectors(node: Any) -> Iterator[str]:
    if isinstance(node, parser.VectorSelector):
        yield node.prettify()
    elif isinstance(node, parser.MatrixSelector):
        yield node.vector_selector.prettify()
    elif isinstance(node, parser.BinaryExpr):
        yield from (*_selectors(node.lhs), *_selectors(node.rhs))
    else:
        parts = node.args if isinstance(node, parser.Call) else [node.expr] if hasattr(node, "expr") else ()
        for part in parts:
            yield from _selectors(part)


def _walk(node: Any, found: Named, under: str) -> None:
    if isinstance(node, parser.VectorSelector):
        _selector(node, found, under)
    elif isinstance(node, parser.MatrixSelector):
        _selector(node.vector_selector, found, under)
    elif isinstance(node, parser.Call):
        if node.func.name in {"label_replace", "label_join"}:
            found.made.add(node.args[1].val)
        for argument in node.args:
            _walk(argument, found, node.func.name)
    elif isinstance(node, parser.AggregateExpr):
        found.grouped |= set(node.modifier.labels if node.modifier else ())
        _walk(node.expr, found, under="")
    elif isinstance(node, parser.BinaryExpr):
        _matching(node.modifier, found)
        _walk(node.lhs, found, under="")
        _walk(node.rhs, found, under="")
    elif isinstance(node, parser.ParenExpr | parser.UnaryExpr | parser.SubqueryExpr):
        _walk(node.expr, found, under="")


def _selector(node: parser.VectorSelector, found: Named, under: str) -> None:
    name = node.name or ""
    found.matched.setdefault(name, set()).update(matcher.name for matcher in node.matchers.matchers)
    if name.endswith(_COUNTER_ENDS) and under not in _OF_COUNTERS:
        found.bare_counters.add(name)


def _matching(modifier: parser.BinModifier | None, found: Named) -> None:
    if modifier is not None:
        found.grouped |= set(modifier.matching.labels if modifier.matching else ())
        found.grouped |= set(modifier.group_labels or ())
