"""Every command has an example that the program takes as it stands."""

from __future__ import annotations

import shlex

import pytest

from deploy.docs import command_line
from deploy.docs.command_line import EXAMPLES, Leaf, example_of, leaves, page

LEAVES = leaves()
BY_NAME = {leaf.name: leaf for leaf in LEAVES}


def takes(leaf: Leaf, example: str) -> None:
    words = shlex.split(example)[1 + len(leaf.words) :]
    with leaf.command.make_context(leaf.name, words):
        pass


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_the_example_of_a_command_is_what_it_takes(name: str) -> None:
    leaf = BY_NAME[name]
    example = example_of(leaf)
    assert example.split()[: 1 + len(leaf.words)] == name.split()
    if not any(word.isupper() and word.isalpha() for word in example.split()[2:]):
        takes(leaf, example)


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_example_is_of_a_command_that_is_not(example: str) -> None:
    owners = [name for name in BY_NAME if f"{example} ".startswith(f"{name} ")]
    assert owners
    takes(BY_NAME[max(owners, key=len)], example)


def test_an_example_that_lacks_something_would_be_found() -> None:
    with pytest.raises(Exception, match="quantity"):
        takes(BY_NAME["exchange deposit"], "exchange deposit EUA")


def test_the_page_has_every_command_under_its_head() -> None:
    text = page()
    for leaf in LEAVES:
        assert f"| `{example_of(leaf)}`".replace("|", "\\|")[1:] in text, leaf.name
    assert "## Begin here" in text
    assert "## The venue's processes" in text
    assert command_line.INTRODUCTION in text
