"""The three dashboards as the text of their files."""

from __future__ import annotations

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import account, desk, health


def rendered() -> dict[str, str]:
    """JSON by file name, with a line end at the end."""
    boards = (desk.dashboard(), account.dashboard(), health.dashboard())
    return {f"{board.uid}.json": json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n" for board in boards}
