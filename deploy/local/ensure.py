"""Get everything the local venue and the tests need: `python -m deploy.local.ensure`.

Prints one line for each piece with where it was found, and one for each that is missing with
how to get it; exits 1 if any is.  As root on Debian missing pieces are installed with apt-get;
otherwise nothing outside `.local` is touched.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.local import apt
from deploy.local.chromium import find_chromium, find_prometheus, find_promtool
from deploy.local.fault_tools import find_faketime, find_fiu, find_ip
from deploy.local.gcc import find_gcc
from deploy.local.kafka import build_class_archive, fetch_jars, find_java, find_maven, jars_ready
from deploy.local.postgres import find_binaries
from deploy.local.process import LocalServerError


def or_install(find: Callable[[], Path], package: str) -> Path:
    """What `find` finds, after installing a Debian package if it finds nothing at first.

    Raises the error of `find`, or of apt-get, when that does not help either.
    """
    try:
        return find()
    except LocalServerError:
        if not apt.can_install():
            raise
    apt.install(package)
    return find()


def ensure_jars() -> Path:
    """Kafka's jars, with Maven installed for it only if they are not there yet."""
    if not jars_ready():
        or_install(find_maven, "maven")
    return fetch_jars()


PIECES: tuple[tuple[str, Callable[[], Path]], ...] = (
    ("gcc", lambda: or_install(find_gcc, "gcc")),
    ("java", lambda: or_install(find_java, "default-jre-headless")),
    ("kafka jars", ensure_jars),
    ("kafka class archive", build_class_archive),
    ("postgres", lambda: or_install(find_binaries, "postgresql")),
    ("chromium", find_chromium),
    ("promtool", find_promtool),
    ("prometheus", find_prometheus),
    ("libfaketime", find_faketime),
    ("libfiu", find_fiu),
    ("ip", lambda: or_install(find_ip, "iproute2")),
)


def main() -> int:
    """Get each piece and report; 0 when all are there, else 1."""
    missing = 0
    for name, get in PIECES:
        begun = time.monotonic()
        try:
            line = str(get())
        except LocalServerError as error:
            missing += 1
            line = "MISSING: " + " ".join(str(error).split())
        print(f"{name:20} {time.monotonic() - begun:6.1f} s  {line}", flush=True)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
