"""Each command is found by its name alone, and the table of groups is true."""

from __future__ import annotations

import importlib

import pytest
import typer

from gateway.cli import GROUPS, build


@pytest.mark.parametrize("module", GROUPS)
def test_a_group_has_the_commands_of_the_table(module: str) -> None:
    app = typer.Typer()
    importlib.import_module(f"gateway.cli.{module}").register(app)
    commands = [
        item.name or item.callback.__name__.replace("_", "-")  # type: ignore[union-attr]
        for item in app.registered_commands
    ]
    groups = [item.name for item in app.registered_groups]
    assert tuple(commands + groups) == GROUPS[module]


def test_a_command_is_built_alone_and_an_unknown_one_with_all() -> None:
    everything = sum(len(commands) for commands in GROUPS.values())
    for name, expected in (("match", 1), ("replay", 6), ("", everything), ("what", everything)):
        app = build(name)
        assert len(app.registered_commands) + len(app.registered_groups) == expected
