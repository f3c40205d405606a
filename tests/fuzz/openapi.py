"""Requests made from the OpenAPI document, signed by keys of each role, and what must come back.

`probe` sends to an operation data that the document allows and data that it does not, as every role
that may do it, as one that may not, and as nobody. Each answer must be one that the document
describes, none a fault of the server, and what the document forbids must not succeed.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from requests.auth import AuthBase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    status_code_conformance,
)

from gateway.access.identity import sign
from gateway.client import SigningKey
from gateway.rest.openapi import describe

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, negative_data_rejection,
]  # fmt: skip
KNOWN: dict[str, list[Any]] = {  # of the demonstration venue: so that requests get past the names
    "symbol": ["EUA", "CEA-2024", "CEA-2025", "CCER"],
    "market": ["EU", "CN"],
    "account": [101, 103, 201, 203],
    "scheme": ["cn-national"],
    "year": [2024, 2025],
    "side": ["BUY", "SELL"],
    "quantity": [1, 5],
    "price": ["71.25", "80.00", "1.00"],
    "programme": ["CCER", "CEA"],
}


class Signature(AuthBase):
    """Signs whatever is about to be sent, as the client does."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(request.url or "")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        body = request.body or b""
        data = body.encode() if isinstance(body, str) else bytes(body)
        signed = sign(
            self._key.private, self._key.id, request.method or "", target, data,
            timestamp_ns=time.time_ns(),
        )  # fmt: skip
        request.headers.update(
            {
                "X-Exchange-Key": signed.key,
                "X-Exchange-Timestamp": str(signed.timestamp_ns),
                "X-Exchange-Window": str(signed.window_ms),
                "X-Exchange-Signature": signed.signature,
            }
        )
        return request


POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE


class Kind(NamedTuple):
    """How requests to an operation are made, and by what document their answers are judged."""

    made_from: Any
    judged_by: Any
    mode: GenerationMode
    role: str


class Finding(NamedTuple):
    """An answer that is not what the document promises."""

    operation: str
    role: str
    request: str
    fault: str


def with_known_names(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the venue's own symbols, markets and accounts as the only ones."""
    known = copy.deepcopy(document)
    for schema in known["components"]["schemas"].values():
        for name, values in KNOWN.items():
            if name in schema.get("properties", {}):
                schema["properties"][name] = {"enum": values}
    for path in known["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] in KNOWN:
                    parameter["schema"] = {"enum": KNOWN[parameter["name"]]}
    return known


def _loaded(document: dict[str, Any]) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(with_security_parameters=False)  # `Signature` makes them
    return schema


class Prober:
    """Sends the requests; `keys` by role, at least those of every role in the document."""

    def __init__(self, url: str, keys: dict[str, SigningKey], number: int) -> None:
        self._url, self._keys, self._seed = url, keys, number
        self._session = requests.Session()
        self._session.trust_env = False
        self.statuses: Counter[int] = Counter()
        document = describe()
        self._plain = _loaded(document)
        self._known = _loaded(with_known_names(document))

    def run(self, examples: int) -> Iterator[Finding]:
        """Up to `examples` of each kind of data to each operation: as each role that may do it with
        known names; as its first role with anything; one request as others and as nobody."""
        for result in self._known.get_all_operations():
            known = result.ok()
            plain = self._plain[known.path][known.method]
            allowed = known.definition.raw["x-roles"]
            others = sorted(set(self._keys) - set(allowed))
            first, *more = ["nobody"] if allowed == ["public"] else allowed
            for role in (first, *more):
                yield from self._probe(Kind(known, plain, POSITIVE, role), examples)
            for mode in (POSITIVE, NEGATIVE):
                yield from self._probe(Kind(plain, plain, mode, first), examples)
            if first != "nobody":
                for role in (*others[:1], "nobody"):
                    yield from self._probe(Kind(known, plain, POSITIVE, role), 1)

    def _probe(self, kind: Kind, examples: int) -> Iterator[Finding]:
        found: list[Finding] = []
        auth = Signature(self._keys[kind.role]) if kind.role in self._keys else None

        @seed(self._seed)
        @settings(
            max_examples=examples, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=kind.made_from.as_strategy(generation_mode=kind.mode))
        def send(case: Any) -> None:
            response = case.call(base_url=self._url, session=self._session, auth=auth, timeout=20)
            self.statuses[response.status_code] += 1
            faults: list[str] = []
            try:
                case.validate_response(response, checks=CHECKS)
            except FailureGroup as group:
                faults += [str(failure) for failure in group.exceptions]
            try:
                kind.judged_by.validate_response(response)
            except Failure as failure:
                faults.append(str(failure))
            found.extend(
                Finding(kind.judged_by.label, kind.role, case.as_curl_command(), fault)
                for fault in faults
            )

        with suppress(Unsatisfiable):  # an operation that takes nothing has nothing to get wrong
            send()
        yield from found
