"""The report document of the live portfolios (spec: report format): what `/api/v1/portfolios` answers.

Beyond the format's own keys: `sets`, the portfolios by the parameters they share, of which this document is one; in every portfolio and
unit `provenance`, the worst of the market figures that it rests on; in every portfolio `inputs`, those figures one by one
{kind, name, value, provenance, source, age_s}. A portfolio with an account that has no value stands here as failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from config.parameters import ParameterSet
from config.portfolios import Eligibility
from connectors.events import FailureReason
from monitor.engine import Engine
from monitor.live.export import snapshot_document
from monitor.live.inputs import Input, portfolio_inputs, worst_of
from monitor.live.portfolios import LivePortfolios
from monitor.margin.result import Failure
from monitor.report.document import VERSION, failure_rows, margin_report
from monitor.report.plain import plain, utc
from monitor.snapshot import SnapshotError, parse_snapshot


@dataclass(frozen=True, slots=True)
class Frozen:
    """One parameter set of the live portfolios at one instant: all that its report needs. `snapshot` None: no portfolio has a value."""

    as_of_ms: int
    parameters: ParameterSet
    sets: tuple[tuple[str, ...], ...]
    snapshot: Mapping[str, Any] | None
    inputs: Mapping[str, Mapping[str, list[Input]]]
    failed: Mapping[str, list[dict[str, str]]]
    order: tuple[str, ...]
    eligibility: Mapping[str, Eligibility]

    def report(self) -> dict[str, Any]:
        """The document; takes a fraction of a second, and may run in a thread."""
        told = {"name": self.parameters.name, "dated": self.parameters.dated.isoformat()}
        document: dict[str, Any] = {"version": VERSION, "as_of": utc(self.as_of_ms), "parameters": told, "portfolios": []}
        document |= {"accounts": [], "modes": {}}
        failed = dict(self.failed)
        if self.snapshot is not None:
            try:
                document = margin_report(parse_snapshot(self.snapshot, "the live book"), self.parameters, self.eligibility.__getitem__)
            except SnapshotError as error:  # a venue's figure that no document takes
                why = failure_rows((Failure(FailureReason.NOT_READY, str(error)),))
                failed = {name: failed.get(name, why) for name in self.order}
        found = {row["id"]: self._with_inputs(row) for row in document["portfolios"]}
        found |= {name: {"id": name, "status": "failed", "failures": failures} for name, failures in failed.items()}
        return document | {"sets": [list(ids) for ids in self.sets], "portfolios": [found[name] for name in self.order]}

    def __reduce__(self) -> tuple[Any, ...]:
        # as JSON a book is handed to another process in a tenth of the time
        written = None if self.snapshot is None else orjson.dumps(self.snapshot)
        return _thawed, (self.as_of_ms, self.parameters, self.sets, written, self.inputs, self.failed, self.order, self.eligibility)

    def _with_inputs(self, row: dict[str, Any]) -> dict[str, Any]:
        inputs = self.inputs[row["id"]]
        every = [one for group in inputs.values() for one in group]
        units = [unit | {"provenance": worst_of(inputs.get(unit["coin"], ())).value} for unit in row["units"]]
        rows: list[Any] = [plain(one.document()) for one in every]
        return row | {"units": units, "provenance": worst_of(every).value, "inputs": rows}


def _thawed(as_of_ms: int, parameters: ParameterSet, sets: Any, written: bytes | None, *rest: Any) -> Frozen:
    return Frozen(as_of_ms, parameters, sets, None if written is None else orjson.loads(written), *rest)


def frozen(live: LivePortfolios, engine: Engine, name: str | None = None) -> Frozen:
    """A portfolio (None: the first) and all that share its parameters, as they stand. KeyError for one that is not configured."""
    portfolios = {one.id: one for one in live.settings.portfolios}
    first = portfolios[next(iter(portfolios)) if name is None else name]
    sets: dict[int, list[str]] = {}
    for one in portfolios.values():
        sets.setdefault(id(live.book_of(one.id)), []).append(one.id)
    listed = [portfolios[one] for one in sets[id(live.book_of(first.id))]]
    failed = {one.id: failure_rows(failures) for one in listed if (failures := live.failures_of(one.accounts))}
    valued = next((one.id for one in listed if one.id not in failed), None)
    return Frozen(
        as_of_ms=live.as_of_ms,
        parameters=first.parameter_set,
        sets=tuple(tuple(ids) for ids in sets.values()),
        snapshot=None if valued is None else snapshot_document(live, engine, valued),
        inputs={one.id: portfolio_inputs(live, one.id) for one in listed if one.id not in failed},
        failed=failed,
        order=tuple(one.id for one in listed),
        eligibility={one.id: one.eligibility for one in listed},
    )
