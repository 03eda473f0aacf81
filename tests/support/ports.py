"""A port for a program that has to be told one."""

import random
import socket

#: Below those that the system gives to whoever asks for any (ip_local_port_range): nobody else is given it meanwhile.
_OURS = range(20_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    while True:
        port = random.choice(_OURS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
