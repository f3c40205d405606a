"""Become another program that dies with its parent: trampoline.py PARENT SIGNAL UID GID CMD...

Runs as a script in the new child, before the server: drops to UID/GID (-1 keeps the present
user), asks Linux to send SIGNAL when the parent thread ends (PR_SET_PDEATHSIG; set after the
change of user, which would clear it), and executes CMD under the same process id.  It is a
program of its own rather than a `preexec_fn` because Python code between fork and exec can
deadlock in a parent that has threads.

Exit 127: CMD could not be executed.  Exit 1: the parent had gone already.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Drop privileges, tie this process to its parent, and execute the command."""
    parent, signal, uid, gid = (int(x) for x in argv[:4])
    command = argv[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request above was made
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is what this program is for
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
