"""What somebody would change in a book: trades, resting orders, transfers; typed and checked, each error with its key and remedy.

    read_request(document)      a document already decoded from JSON

Quantities are per 1 coin and in USD notional for inverse contracts, prices in the unit of the instrument's mark, as in a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from config.errors import Problem, did_you_mean, shown
from config.tables import Table, joined, problems_error, problems_of
from monitor.snapshot import InstrumentRow, Name, Number

MOST = 100
"""Changes, and instruments beside them, in one request."""

_MOST = 1e15
_KINDS = ("position", "order", "transfer")
_KEYS = ("changes", "instruments", "index")

T = TypeVar("T", bound=Table)


class ChangeError(Exception):
    """A change that cannot be made. `field` is its key as the request writes it (`changes[0].instrument`), empty for all of it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field, self.message = field, message


def _text_is_no_number(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"expected a number, got {shown(value)}")
    return value


Amount = Annotated[Number, BeforeValidator(_text_is_no_number), Field(gt=0, le=_MOST)]
Quantity = Annotated[Number, BeforeValidator(_text_is_no_number), Field(ge=-_MOST, le=_MOST)]


class _Trade(Table):
    account: Name
    instrument: Name
    quantity: Quantity

    @field_validator("quantity")
    @classmethod
    def _some(cls, quantity: float) -> float:
        if quantity == 0:
            raise ValueError("expected a quantity other than 0: positive buys, negative sells")
        return quantity


class PositionChange(_Trade):
    """A trade of a signed quantity at the mark, or at `price`: the difference to the mark is won or lost. `side` for hedge mode."""

    kind: Literal["position"]
    price: Amount | None = None
    side: Literal["long", "short"] | None = None


class OrderChange(_Trade):
    """A resting order of a signed quantity."""

    kind: Literal["order"]
    limit_price: Amount
    reduce_only: bool = False


class TransferChange(Table):
    """Cash or coin from one account, or pool, to another; an account that is None is outside of the book."""

    kind: Literal["transfer"]
    source: Name | None = Field(default=None, alias="from")
    target: Name | None = Field(default=None, alias="to")
    asset: Name
    amount: Amount
    from_pool: Name | None = None
    to_pool: Name | None = None

    @model_validator(mode="after")
    def _moves_something(self) -> TransferChange:
        problems = list(_nowhere(self))
        if problems:
            raise problems_error(problems)
        return self


Change = PositionChange | OrderChange | TransferChange


@dataclass(frozen=True, slots=True)
class Request:
    """Changes in the order in which they are made; `instruments` and USD `index` of coins that nobody else tells of."""

    changes: tuple[Change, ...]
    instruments: tuple[InstrumentRow, ...] = ()
    index: Mapping[str, float] | None = None


class _Index(Table):
    index: Mapping[Name, Amount] = Field(default_factory=dict)


_TYPES: Mapping[str, type[PositionChange] | type[OrderChange] | type[TransferChange]] = {
    "position": PositionChange,
    "order": OrderChange,
    "transfer": TransferChange,
}


def read_request(document: object) -> Request:
    """The request of a decoded document. Raises ChangeError with the first problem's key and every problem's text."""
    if not isinstance(document, dict):
        raise ChangeError("", 'expected an object such as {"changes": [...]}')
    problems = [Problem(key, f"unknown key{did_you_mean(key, _KEYS)}") for key in document if key not in _KEYS]
    changes = list(_changes(_rows(document, "changes", problems), problems))
    if not problems and not changes:
        problems.append(Problem("changes", f"no change; give at least one of kind {', '.join(_KINDS)}"))
    rows = _rows(document, "instruments", problems)
    instruments = [row for n, raw in enumerate(rows) if (row := _typed(InstrumentRow, raw, f"instruments[{n}]", problems))]
    index = _typed(_Index, {"index": {} if document.get("index") is None else document["index"]}, "", problems)
    if problems or index is None:
        raise _error(problems)
    return Request(tuple(changes), tuple(instruments), index.index)


def _rows(document: Mapping[str, Any], key: str, problems: list[Problem]) -> list[Any]:
    rows = document.get(key)
    if rows is None and (key != "changes" or key not in document):
        return []
    if not isinstance(rows, list):
        problems.append(Problem(key, f"expected a list, got {shown(rows, table='an object')}"))
        return []
    if len(rows) > MOST:
        problems.append(Problem(key, f"expected at most {MOST}, got {len(rows)}; ask in several requests"))
        return []
    return rows


def _changes(rows: Iterable[Any], problems: list[Problem]) -> Iterator[Change]:
    for number, raw in enumerate(rows):
        path = f"changes[{number}]"
        if not isinstance(raw, dict):
            problems.append(Problem(path, f"expected an object, got {shown(raw)}"))
            continue
        kind = raw.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            hint = did_you_mean(kind, _KINDS) if isinstance(kind, str) else f"; known: {', '.join(_KINDS)}"
            problems.append(Problem(f"{path}.kind", f"expected the kind of a change, got {shown(kind, table='an object')}{hint}"))
            continue
        change = _typed(_TYPES[kind], raw, path, problems)
        if change is not None:
            yield change


def _typed(model: type[T], raw: object, path: str, problems: list[Problem]) -> T | None:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = problems_of(error, model, table="an object")
        problems += [Problem(joined(path, problem.path), problem.message) for problem in found]
        return None


def _nowhere(change: TransferChange) -> Iterator[Problem]:
    if change.source is None and change.target is None:
        yield Problem("to", 'name the account that gets it, or in "from" the one that sends it; null is outside of the book')
    for account, pool, key in ((change.source, change.from_pool, "from_pool"), (change.target, change.to_pool, "to_pool")):
        if account is None and pool is not None:
            yield Problem(key, "a pool of no account; name the account too, or leave the pool out")
    if change.source is not None and change.source == change.target and change.from_pool == change.to_pool:
        yield Problem("to", "the transfer ends where it began; name another account or another pool")


def _error(problems: list[Problem]) -> ChangeError:
    first, *others = problems
    rest = [f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in others]
    return ChangeError(first.path, "; ".join([first.message, *rest]))
