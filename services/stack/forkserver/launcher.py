"""Stands in for the Python interpreter: `launcher.py SOCKET PYTHON ARGS…` has the fork server run what `PYTHON ARGS…` would.

It lives as long as the process that it asked for, with the same exit code; when it ends first, by whatever signal, the server kills that process.
Without an answer from a server it becomes the ordinary interpreter. It runs without site-packages, so it imports the standard library only.
"""

import json
import os
import socket
import struct
import sys
from pathlib import Path

ANSWER_WITHIN_S = 2.0
ACCEPTED = b"+"
LENGTH = struct.Struct("!I")
EXIT_CODE = struct.Struct("!i")


def ask(address: str, arguments: list[str]) -> socket.socket | None:
    """The connection of a process that the server starts with this process's folder, environment and standard streams; None when it does not."""
    folder, place = str(Path.cwd()), Path(address)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_WITHIN_S)
        # The path of a socket holds some 100 characters, that of a folder may be longer.
        os.chdir(place.parent)
        connection.connect(place.name)
        os.chdir(folder)
        request = json.dumps({"arguments": arguments, "folder": folder, "environment": dict(os.environ)}).encode("utf-8", "surrogateescape")
        socket.send_fds(connection, [LENGTH.pack(len(request))], [0, 1, 2])
        connection.sendall(request)
        if connection.recv(1) == ACCEPTED:
            connection.settimeout(None)
            return connection
    except OSError:
        os.chdir(folder)
    connection.close()
    return None


def main() -> int:
    address, python, *arguments = sys.argv[1:]
    runs_code = (len(arguments) > 1 and arguments[0] in ("-m", "-c")) or (bool(arguments) and not arguments[0].startswith("-"))
    connection = ask(address, arguments) if runs_code else None
    if connection is None:
        os.execv(python, [python, *arguments])  # noqa: S606  the caller's own command
    code = connection.recv(EXIT_CODE.size)
    # Without a code the server has ended, and with it the process.
    return EXIT_CODE.unpack(code)[0] % 256 if len(code) == EXIT_CODE.size else 1


if __name__ == "__main__":
    sys.exit(main())
