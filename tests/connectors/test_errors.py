from __future__ import annotations

import pytest

from connectors import errors

KEY = "0xfeedfacefeedfacefeedfacefeedfacefeedface"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (f"wss://user:secret@stream.example.com:9443/ws/{KEY}?signature={KEY}", "stream.example.com:9443"),
        ("https://api.example.com/info", "api.example.com"),
        (KEY, "an address that is no url"),
        ("http://[broken/", "an address that is no url"),
        ("http://host:notaport/", "an address that is no url"),
    ],
)
def test_a_place_is_only_the_host(url: str, host: str) -> None:
    assert errors.place(url) == host


@pytest.mark.parametrize(
    ("error", "kind", "parent"),
    [
        (errors.ConnectFailed("h", "refused"), "connect_failed", errors.TransportError),
        (errors.ConnectionLost("h", 1000), "connection_lost", errors.TransportError),
        (errors.HttpError("h", 502), "http_502", errors.TransportError),
        (errors.Timeout("it", 3.0), "timeout", errors.TransportError),
        (errors.RateLimited("h", 7.0), "rate_limited", errors.ConnectorError),
        (errors.ProtocolError("missing_key", "markPx"), "missing_key", errors.ConnectorError),
        (errors.ReferenceDataError("no tiers for BTC: report it"), "reference_data", errors.ConnectorError),
        (errors.BudgetError("v", 60, 12), "budget", errors.ConnectorError),
    ],
)
def test_every_error_has_its_kind_and_its_place_in_the_tree(
    error: errors.ConnectorError, kind: str, parent: type[errors.ConnectorError]
) -> None:
    assert error.kind == kind
    assert isinstance(error, parent)
    assert ": " in str(error), "a message names the thing, then the remedy"


def test_a_kind_of_one_error_does_not_leak_into_the_class() -> None:
    errors.HttpError("h", 503)
    errors.ProtocolError("missing_key", "x")

    assert errors.TransportError.kind == "transport"
    assert errors.ConnectorError.kind == "connector"


def test_messages_say_what_happened() -> None:
    assert str(errors.ConnectionLost("h")) == "the connection to h ended without a close frame: it is reopened by itself"
    assert "HTTP 403: check the credentials" in str(errors.HttpError("h", 403))
    assert "HTTP 422: check the venue's url" in str(errors.HttpError("h", 422))
    assert "for 7 s" in str(errors.RateLimited("h", 7.0))
    assert "share of 12 per minute: raise ip_budget_share" in str(errors.BudgetError("v", 60, 12))
