"""The OpenAPI 3.1 description, made from the route table, the roles and the message structs."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import msgspec

from exchange.messages.executions import Problem
from gateway.access.roles import AUTHORITIES, PUBLIC, ROLES
from gateway.rest.field_notes import annotate, note_of
from gateway.routes import ROUTES, Route
from gateway.routes.logins import COOKIE

VERSION = "0.1.0"
_SECURITY = {
    "signature": (
        "header", "X-Exchange-Signature",
        "base64 of the Ed25519 signature over METHOD, PATH?QUERY, KEY, TIMESTAMP_NS, WINDOW_MS and "
        "hex(sha256(body)), joined by line feeds.",
    ),
    "key": ("header", "X-Exchange-Key", "The id of the key that signed."),
    "timestamp": ("header", "X-Exchange-Timestamp", "When it was signed, ns UTC."),
    "window": ("header", "X-Exchange-Window", "How long it is good for, ms; 0 = the venue's own."),
    "login": ("cookie", COOKIE, "Of an operator who logged in: POST /login sets it."),
    "csrf": ("header", "X-Exchange-CSRF", "The csrf_token of the login; not with a GET."),
}  # fmt: skip
_SIGNED: dict[str, list[str]] = {"key": [], "timestamp": [], "window": [], "signature": []}
_TYPES = {"str": "string", "int": "integer"}


def describe() -> dict[str, Any]:
    """The whole description as JSON-ready data."""
    types: list[Any] = [Problem]
    for row in ROUTES:
        types += [item for item in (row.body, row.reply) if item is not None]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    annotate(components, types)
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for row in ROUTES:
        path = re.sub(r"{(\w+):\w+}", r"{\1}", row.path)
        paths.setdefault(path, {})[row.method.lower()] = _operation(row, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "carbon-exchange",
            "version": VERSION,
            "description": "Orders, registry instructions and queries. Prices and money are "
            "decimal strings, quantities whole tonnes, times integer nanoseconds UTC.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                name: {"type": "apiKey", "in": place, "name": field, "description": text}
                for name, (place, field, text) in _SECURITY.items()
            },
        },
    }


def _operation(row: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    roles = ROLES[row.action]
    operation: dict[str, Any] = {
        "summary": row.summary,
        "operationId": row.handler.__name__ + _suffix(row),
        "parameters": _parameters(row),
        "responses": {
            "200": _content("the answer", "application/json", by_type[repr(row.reply)]),
            "default": _content(
                "refused, with a numbered reason", "application/problem+json",
                by_type[repr(Problem)],
            ),
        },
        "x-roles": sorted(roles),
    }  # fmt: skip
    if "wait_ms" in row.query.__struct_fields__:
        operation["responses"]["202"] = _content(
            "the log has it; the answer follows", "application/json", by_type[repr(row.reply)]
        )
    if row.path == "/orders" and row.method == "POST":
        operation["responses"]["201"] = operation["responses"].pop("200")
    if row.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_type[repr(row.body)]}},
        }
    if roles != PUBLIC:
        login: dict[str, list[str]] = {"login": []}
        if row.method != "GET":
            login["csrf"] = []
        may_log_in = not roles.isdisjoint(AUTHORITIES)
        operation["security"] = [_SIGNED, login] if may_log_in else [_SIGNED]
    return operation


def _suffix(row: Route) -> str:
    # the last part of the path keeps the ids of rows apart that share a handler
    is_shared = sum(other.handler is row.handler for other in ROUTES) > 1
    return "_" + row.path.rsplit("/", 1)[1].replace("-", "_") if is_shared else ""


def _content(description: str, media_type: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _parameters(row: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": _TYPES[kind]}}
        for name, kind in re.findall(r"{(\w+):(\w+)}", row.path)
    ]
    for field in msgspec.structs.fields(row.query):
        schema = msgspec.json.schema(field.type)
        if not field.required:
            schema["default"] = field.default
        parameter = {"name": field.name, "in": "query", "required": field.required}
        if note := note_of(row.query, field.name):
            parameter["description"] = note
        found.append(parameter | {"schema": schema})
    return found


def main() -> None:
    """Prints the description: `python -m gateway.rest.openapi > deploy/docs/openapi.json`."""
    sys.stdout.write(json.dumps(describe(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
