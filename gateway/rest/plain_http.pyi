"""Types of `gateway.rest.plain_http`."""

def read_plain(
    data: bytes, body_max: int, lines_max: int, header_bytes_max: int
) -> tuple[str, str, str, bytes, dict[str, str], bytes] | None: ...
def write_plain(
    status: bytes,
    defaults: list[tuple[bytes, bytes]],
    media_type: str,
    headers: dict[str, str],
    content: bytes,
    keeps_open: bool,
) -> bytes | None: ...
