"""The dashboard as data: `python -m deploy.grafana.dashboard` writes `venue.json`.

Rows follow the data: venue, pipeline, engine, settlement and registry, surveillance, feed, health.
Every metric is one of `exchange.metrics`; a test runs every query against a running venue.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent / "venue.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
MARKET = '{market=~"$market"}'
COLUMNS = 24


class Panel(NamedTuple):
    """One chart or figure; `queries` are (PromQL, legend)."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 6
    about: str = ""
    bad_from: float | None = None  # red from here on


def rate(metric: str, by: str, select: str = "") -> str:
    """Per second and label, over the interval which fits the picture."""
    return f"sum by ({by}) (rate({metric}{select}[$__rate_interval]))"


def or_none(query: str) -> str:
    """The query, or 0 where what it counts has never happened in this venue."""
    return f"{query} or vector(0)"


def quantile(part: float, metric: str, by: str, select: str = "") -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({part}, {rate(metric + '_bucket', 'le, ' + by, select)})"


def quantiles(metric: str, by: str, select: str = "") -> tuple[tuple[str, str], ...]:
    """Half, 99 and 99.9 of a hundred."""
    return tuple(
        (quantile(part, metric, by, select), f"{{{{{by}}}}} {name}")
        for part, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
    )


def lag(topic: str, metric: str) -> tuple[tuple[str, str], ...]:
    """Every reader of a topic."""
    select = f'{{topic="{topic}", market=~"$market"}}'
    return ((f"max by (market, consumer) ({metric}{select})", "{{consumer}} {{market}}"),)


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Venue",
        (
            Panel(
                "Trades a second",
                ((rate("exchange_engine_trades_total", "market", MARKET), "{{market}}"),),
            ),
            Panel(
                "Messages a second",
                (
                    (
                        rate("exchange_gateway_messages_total", "interface, direction"),
                        "{{interface}} {{direction}}",
                    ),
                ),
            ),
            Panel(
                "Gateway to gateway",
                quantiles("exchange_gateway_round_trip_seconds", "interface"),
                unit="s",
                about="From a command's arrival to its first event back.",
            ),
            Panel(
                "Refused a second, by reason",
                (
                    (
                        or_none(rate("exchange_gateway_rejections_total", "reason")),
                        "{{reason}}",
                    ),
                ),
                about="The reasons are explained in deploy/docs/reasons.md.",
            ),
            Panel(
                "Queue of commands in use",
                (("max by (interface) (exchange_gateway_capacity_used_ratio)", "{{interface}}"),),
                unit="percentunit",
                bad_from=0.9,
            ),
            Panel(
                "Connections",
                (
                    (
                        "sum by (interface, state) (exchange_gateway_sessions)",
                        "{{interface}} {{state}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Pipeline: records not yet read, in the order of the data",
        (
            Panel("orders", lag("orders", "exchange_log_lag_records"), width=8, bad_from=10_000),
            Panel("events", lag("events", "exchange_log_lag_records"), width=8, bad_from=10_000),
            Panel(
                "settlements",
                lag("settlements", "exchange_log_lag_records"),
                width=8,
                bad_from=10_000,
            ),
            Panel(
                "Age of the last record read",
                (
                    (
                        "max by (topic, consumer) (exchange_log_lag_seconds" + MARKET + ")",
                        "{{topic}} by {{consumer}}",
                    ),
                ),
                unit="s",
                width=24,
                bad_from=5,
            ),
        ),
    ),
    (
        "Engine",
        (
            Panel(
                "Commands a second",
                ((rate("exchange_engine_commands_total", "market", MARKET), "{{market}}"),),
            ),
            Panel(
                "Events a second",
                ((rate("exchange_engine_events_total", "market", MARKET), "{{market}}"),),
            ),
            Panel(
                "One record of orders applied",
                quantiles("exchange_engine_batch_seconds", "market", MARKET),
                unit="s",
            ),
            Panel(
                "Commands in one record",
                (
                    (
                        quantile(0.5, "exchange_engine_batch_commands", "market", MARKET),
                        "{{market}} p50",
                    ),
                    (
                        quantile(0.99, "exchange_engine_batch_commands", "market", MARKET),
                        "{{market}} p99",
                    ),
                ),
            ),
        ),
    ),
    (
        "Settlement and registry",
        (
            Panel(
                "Trades settled a second",
                ((rate("exchange_settlement_trades_total", "market", MARKET), "{{market}}"),),
            ),
            Panel(
                "Settlement instructions",
                (
                    (
                        f"sum by (market, state) (exchange_settlement_instructions{MARKET})",
                        "{{market}} {{state}}",
                    ),
                ),
            ),
            Panel(
                "Serial blocks",
                ((f"sum by (market) (exchange_registry_blocks{MARKET})", "{{market}}"),),
            ),
            Panel(
                "Greatest use of an offset cap",
                (("max by (scheme) (exchange_registry_offset_use_ratio)", "{{scheme}}"),),
                unit="percentunit",
            ),
            Panel(
                "Instructions refused, by reason",
                (
                    (
                        or_none(
                            f"sum by (market, reason) (exchange_registry_refusals_total{MARKET})"
                        ),
                        "{{market}} {{reason}}",
                    ),
                ),
                width=12,
            ),
            Panel(
                "Differences engine, ledger, registry",
                ((f"sum by (market) (exchange_reconciliation_breaks{MARKET})", "{{market}}"),),
                kind="stat",
                width=12,
                bad_from=1,
            ),
        ),
    ),
    (
        "Surveillance",
        (
            Panel(
                "Alerts that wait, and those somebody has taken",
                (
                    (
                        "max by (market, state) "
                        '(exchange_alerts{market=~"$market",state!="CLOSED"})',
                        "{{market}} {{state}}",
                    ),
                ),
                width=12,
                about="Handled with `exchange handle-alert` or on the surveillance page.",
            ),
            Panel(
                "Alerts in ten minutes, by kind",
                (
                    (
                        or_none(
                            "sum by (market, kind) "
                            f"(increase(exchange_surveillance_alerts_total{MARKET}[10m]))"
                        ),
                        "{{market}} {{kind}}",
                    ),
                ),
                width=12,
                bad_from=20,
            ),
        ),
    ),
    (
        "Feed",
        (
            Panel(
                "Subscribers",
                (("sum by (channel) (exchange_feed_subscribers)", "{{channel}}"),),
                width=8,
            ),
            Panel(
                "Messages a second",
                ((rate("exchange_feed_messages_total", "channel"), "{{channel}}"),),
                width=8,
            ),
            Panel(
                "Subscribers cut for being slow",
                ((or_none("sum by (channel) (exchange_feed_dropped_total)"), "{{channel}}"),),
                width=8,
                bad_from=1,
            ),
        ),
    ),
    (
        "Health",
        (
            Panel("Processes", (("up", "{{job}} {{instance}}"),), kind="stat"),
            Panel(
                "Engines that lead",
                ((f"sum by (market) (exchange_engine_leading{MARKET})", "{{market}}"),),
                kind="stat",
                width=4,
            ),
            Panel(
                "Epoch",
                ((f"max by (market) (exchange_engine_epoch{MARKET})", "{{market}}"),),
                kind="stat",
                width=4,
            ),
            Panel(
                "Since the last snapshot",
                (("max by (service) (exchange_snapshot_age_seconds)", "{{service}}"),),
                unit="s",
                width=5,
                bad_from=86_400,
            ),
            Panel(
                "Hashes or chains that differ",
                (
                    (
                        or_none("sum by (service) (exchange_state_hash_mismatch_total)"),
                        "{{service}}",
                    ),
                ),
                kind="stat",
                width=5,
                bad_from=1,
            ),
            Panel(
                "Records replayed at start",
                (("max by (service) (exchange_replay_records_total)", "{{service}}"),),
                kind="stat",
                width=12,
            ),
            Panel(
                "Version",
                (("exchange_build_info", "{{version}}, compiled: {{compiled}}"),),
                kind="stat",
                width=12,
            ),
        ),
    ),
)


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """One panel as Grafana stores it."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": 7},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "expr": query,
                "legendFormat": legend,
                "datasource": SOURCE,
            }
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }


def panels_json() -> list[dict[str, Any]]:
    """All rows, laid out from left to right."""
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in ROWS:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        found.append(
            {"id": len(found) + 1, "type": "row", "title": title, "gridPos": place, "panels": []}
        )
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + 7
            found.append(panel_json(panel, len(found) + 1, x, y))
            x += panel.width
        y += 7
    return found


def dashboard() -> dict[str, Any]:
    """The whole document."""
    return {
        "uid": "carbon-exchange",
        "title": "Carbon exchange",
        "tags": ["carbon-exchange"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Source",
                    "type": "datasource",
                    "query": "prometheus",
                },
                {
                    "name": "market",
                    "label": "Market",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": "label_values(exchange_engine_commands_total, market)",
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": panels_json(),
    }


def text() -> str:
    """What `venue.json` must hold."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
