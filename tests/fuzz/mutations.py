"""Valid messages, damaged: bits turned, cut, spliced, doubled, figures at the edges of types."""

from __future__ import annotations

from hypothesis import strategies as st

EDGES = (
    *(
        value.to_bytes(size, "little", signed=value < 0)
        for size in (1, 2, 4, 8)
        for value in (0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, -(2 ** (8 * size - 1)))
    ),
    b"-1", b"0", b"1e999", b"9" * 40, b"NaN", b"null", b"\x01", b"=", b'"', b"{", b"[",
    b"\xff\xfe",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds after one to four accidents."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        data = draw(st.sampled_from(ACCIDENTS))(draw, data, seeds)
    return data


def _place(draw: st.DrawFn, data: bytes) -> int:
    return draw(st.integers(0, len(data)))


def _turn(draw: st.DrawFn, data: bytes, _: list[bytes]) -> bytes:
    if not data:
        return data
    at = draw(st.integers(0, len(data) - 1))
    return data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]


def _cut(draw: st.DrawFn, data: bytes, _: list[bytes]) -> bytes:
    return data[: _place(draw, data)]


def _drop(draw: st.DrawFn, data: bytes, _: list[bytes]) -> bytes:
    at = _place(draw, data)
    return data[:at] + data[at + draw(st.integers(1, 80)) :]


def _splice(draw: st.DrawFn, data: bytes, seeds: list[bytes]) -> bytes:
    other = draw(st.sampled_from(seeds))
    return data[: _place(draw, data)] + other[_place(draw, other) :]


def _double(draw: st.DrawFn, data: bytes, _: list[bytes]) -> bytes:
    one, two = sorted((_place(draw, data), _place(draw, data)))
    return data[:two] + data[one:two] * draw(st.integers(1, 3)) + data[two:]


def _insert(draw: st.DrawFn, data: bytes, _: list[bytes]) -> bytes:
    at = _place(draw, data)
    return data[:at] + draw(st.sampled_from(EDGES)) + data[at:]


def _overwrite(draw: st.DrawFn, data: bytes, _: list[bytes]) -> bytes:
    at, edge = _place(draw, data), draw(st.sampled_from(EDGES))
    return data[:at] + edge + data[at + len(edge) :]


ACCIDENTS = (_turn, _cut, _drop, _splice, _double, _insert, _overwrite)
