"""Starts a program that cannot outlive the process that asked for it.

What must stay true: this file is run by its path, knows only the standard library and imports nothing of ours, so that
it starts in a few milliseconds; the death signal is asked for after the last change of identity, because the kernel
forgets it at every such change; a parent that died before that is noticed, so no window is left.

    python -I -S tether.py PARENT_PID SIGNAL IDENTITY FOLDER PROGRAM [ARGUMENT...]

IDENTITY: `same`; `nobody`; `nobody-searching` (nobody, who may still pass folders closed to others: a checkout under
/root); `namespace` (root of the outside, seen as nobody inside, where no other user can be taken on).
Elsewhere than on Linux the program is started the same way but not tied.
"""

import ctypes
import os
import struct
import sys

NOBODY = 65534
PR_SET_PDEATHSIG, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
NO_SETUID_FIXUP = 4
CLONE_NEWUSER = 0x10000000
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def main(arguments: list[str]) -> None:
    parent, signal_number, identity, folder, *command = arguments
    IDENTITIES[identity]()
    if sys.platform == "linux":
        call("prctl", PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the process that asked for this one has ended")
    os.chdir(folder)
    os.execv(command[0], command)


def stay() -> None:
    return None


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def become_searching_nobody() -> None:
    call("prctl", PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0)  # else initdb's access() looks without the capability
    become_nobody()
    try:
        keep_only(CAP_DAC_READ_SEARCH)
    except OSError:  # containers are often given only the wider one
        keep_only(CAP_DAC_OVERRIDE)


def keep_only(capability: int) -> None:
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    sets = struct.pack("6I", 1 << capability, 1 << capability, 1 << capability, 0, 0, 0)
    call("capset", header, sets)
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def enter_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER)
    for name, line in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(line)


def call(function: str, *arguments: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    typed = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    if getattr(libc, function)(*typed) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


IDENTITIES = {
    "same": stay,
    "nobody": become_nobody,
    "nobody-searching": become_searching_nobody,
    "namespace": enter_namespace,
}

if __name__ == "__main__":
    main(sys.argv[1:])
