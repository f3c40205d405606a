"""Settings come from the environment, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.settings import Settings


def test_defaults_need_no_environment() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"PATH": "/bin", "HOME": "/"}) == Settings()


def test_every_type_is_read() -> None:
    settings = Settings.from_environment(
        {
            "EXCHANGE_LOG": "kafka:localhost:9092",
            "EXCHANGE_DATA": "/data/venue",
            "EXCHANGE_HTTP_PORT": "9000",
        }
    )
    assert settings.log == "kafka:localhost:9092"
    assert settings.data == Path("/data/venue")
    assert settings.http_port == 9_000


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("EXCHANGE_PORT", "80", "port"),
        ("EXCHANGE_HTTP_PORT", "eighty", "http_port"),
        ("EXCHANGE_HTTP_PORT", "80.5", "http_port"),
        ("EXCHANGE_DATA", "", "data"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        Settings.from_environment({name: value})
    assert "EXCHANGE_HTTP_PORT" in str(caught.value)
