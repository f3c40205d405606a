"""Libraries that lie to a program, for tests: libfaketime about time, libfiu about files.

Both are put before a program's own libraries by LD_PRELOAD.  They are taken out of Debian's
packages into `.local`; nothing is installed.  A third one is ours, for servers that fork: gcc makes
it of the few lines below.
"""

import errno
import os
import shutil
import subprocess
from pathlib import Path

from deploy.local import apt
from deploy.local.process import CACHE, LocalServerError

FOLDER = CACHE / "faults"
FAKETIME = FOLDER / "libfaketime.so.1"
FIU_RUN = FOLDER / "fiu_run_preload.so"
FIU_POSIX = FOLDER / "fiu_posix_preload.so"
FIU_CORE = FOLDER / "libfiu.so.0"
UNSYNCED = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int fails(void) {
    const char *file = getenv("SYNC_FAILS_WHILE");
    return file && access(file, F_OK) == 0;
}
static int synced(long call, int fd) {
    if (fails()) { errno = EIO; return -1; }
    return (int) syscall(call, fd);
}
int fsync(int fd) { return synced(SYS_fsync, fd); }
int fdatasync(int fd) { return synced(SYS_fdatasync, fd); }
"""


def _made(files: dict[Path, tuple[str, str]]) -> None:
    """Get what is missing of `files`: target: (package, path in it)."""
    packages: dict[str, dict[str, Path]] = {}
    for target, (package, member) in files.items():
        if not target.exists():
            packages.setdefault(package, {})[member] = target
    for package, targets in packages.items():
        try:
            apt.extract_all(package, targets)
        except LocalServerError as error:
            raise LocalServerError(f"{error}; Debian package '{package}'") from error


def find_faketime() -> Path:
    """libfaketime, from Debian's package where it is not there yet; LocalServerError."""
    _made({FAKETIME: ("libfaketime", "usr/lib/*/faketime/libfaketime.so.1")})
    return FAKETIME


def find_fiu() -> Path:
    """The folder with libfiu and what loads it before a program; LocalServerError."""
    _made({
        FIU_RUN: ("libfiu0", "usr/lib/fiu/fiu_run_preload.so"),
        FIU_POSIX: ("libfiu0", "usr/lib/fiu/fiu_posix_preload.so"),
        FIU_CORE: ("libfiu0", "usr/lib/libfiu.so.1.*"),
    })  # fmt: skip
    return FOLDER


def failing(*points: str) -> dict[str, str]:
    """The environment in which a program's calls fail with EIO, such as `posix/io/sync/fsync`."""
    folder = find_fiu()
    return {
        "LD_LIBRARY_PATH": str(folder),
        "LD_PRELOAD": f"{FIU_RUN} {FIU_POSIX}",
        "FIU_ENABLE": "\n".join(f"enable name={point},failinfo={errno.EIO}" for point in points),
    }


def unsynced_while(file: Path, folder: Path) -> dict[str, str]:
    """The environment in which fsync and fdatasync fail with EIO while a file is there.

    `folder` takes the library: who runs the program has to reach it.
    """
    library = folder / "unsynced.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(library)]
    try:
        subprocess.run(command, input=UNSYNCED, text=True, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LocalServerError("no gcc: on Debian, apt-get install gcc") from error
    return {"LD_PRELOAD": str(library), "SYNC_FAILS_WHILE": str(file)}


def clock_in(file: Path) -> dict[str, str]:
    """The environment in which a program reads its clock as `file` says, such as `+3600`.

    The file is looked at once a second; what measures durations goes on undisturbed.
    """
    return {
        "LD_PRELOAD": str(find_faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def find_ip() -> Path:
    """`ip` of iproute2, which makes links and takes them down; LocalServerError."""
    found = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise LocalServerError("no ip: on Debian, apt-get install iproute2")
    return Path(found)
