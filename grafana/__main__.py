"""`python -m grafana` writes the dashboards into grafana/dashboards."""

from __future__ import annotations

from grafana.generate import rendered
from grafana.queries import DASHBOARDS


def main() -> None:
    """Write every dashboard; the same source gives the same bytes."""
    DASHBOARDS.mkdir(exist_ok=True)
    for name, text in rendered().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")
        print(f"dashboards: {name}")


if __name__ == "__main__":
    main()
