#!/usr/bin/env python3
"""Effect of Ctrl-D in a terminal on a client, and on its user at the server.

Usage: ctrl_d.py text=HOST:PORT pickle=HOST:PORT ...   (as in the server's line `ready: ...`)
Needs text, pickle, ws-text and chat, nc, websockets, and the account adam with the password bill.
"""

import os
import pty
import re
import select
import sys
import time

from old_client import Client

CTRL_D = b"\x04"
# How long the server may take to forget a user, in seconds.
PATIENCE = 3

PROMPT = """
import pickle, socket, sys
client = socket.create_connection((sys.argv[1], int(sys.argv[2])))
if sys.argv[3] == 'pickle':
    client.send(input('name: ').encode())
while True:
    words = input('> ').split()
    if sys.argv[3] == 'pickle':
        client.send(pickle.dumps([dict(zip(('method', 'key', 'value'), words))]))
        print(pickle.loads(client.recv(1024)))
    else:
        client.send(' '.join(words).encode())
        print(client.recv(1024).decode())
"""


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, program):
        self.output = b""
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.execvp(program[0], program)

    def type(self, keys):
        """Types, and reads until nothing more is printed."""
        os.write(self.terminal, keys)
        self.read()

    def read(self):
        """Takes what is printed."""
        while select.select([self.terminal], [], [], 0.7)[0]:
            try:
                part = os.read(self.terminal, 4096)
            except OSError:
                return
            if not part:
                return
            self.output += part

    def ended(self):
        """How it ended, or that it did not."""
        process, status = os.waitpid(self.process, os.WNOHANG)
        if process == 0:
            os.kill(self.process, 9)
            os.waitpid(self.process, 0)
            return "still runs"
        return f"ends with {os.waitstatus_to_exitcode(status)}"


class Options:
    """Address of a listener."""

    def __init__(self, address):
        self.host, _, self.port = address.rpartition(":")
        self.show = False


class Manager(Client):
    """A manager over the `text` protocol."""

    def knows(self, user):
        """Whether there is a user of this name."""
        self.send(f"manage {user} get city".encode())
        return self.receive() != b"No such client"


def main():
    """Prints the table, a row a client."""
    listeners = {
        name: Options(address) for name, address in (pair.split("=", 1) for pair in sys.argv[1:])
    }
    manager = Manager(listeners["text"])
    manager.ask(b"auth adam bill", b"Authentication success")

    def at(protocol):
        return [listeners[protocol].host, listeners[protocol].port]

    prompt = [sys.executable, "-c", PROMPT]
    put = b"put city Kolkata\n"
    clients = [
        ("`nc` at `text`", ["nc", *at("text")], [b"whoami\n", put]),
        ("`nc -N` at `text`", ["nc", "-N", *at("text")], [b"whoami\n", put]),
        ("Python's `input()` at `text`", [*prompt, *at("text"), "text"], [b"whoami\n", put]),
        (
            "Python's `input()` at `pickle`",
            [*prompt, *at("pickle"), "pickle"],
            [b"visitor1\n", put],
        ),
        (
            "`python3 -m websockets` at `ws-text`",
            [sys.executable, "-m", "websockets", "ws://" + ":".join(at("ws-text"))],
            [b"visitor2\n", put],
        ),
        ("`nc -N` at `chat`", ["nc", "-N", *at("chat")], [b"visitor3\n", b"hello\n"]),
    ]
    print("| client | user before | after Ctrl-D the client | user after |\n|---|---|---|---|")
    for label, program, typed in clients:
        terminal = Terminal(program)
        terminal.read()
        for line in typed:
            terminal.type(line)
        own = re.search(rb"(\d+) \(guest\)", terminal.output)
        user = own.group(1).decode() if own else typed[0].decode().strip()
        before = "there" if manager.knows(user) else "not there"
        terminal.type(CTRL_D)
        since = time.monotonic()
        while (there := manager.knows(user)) and time.monotonic() - since < PATIENCE:
            time.sleep(0.02)
        print(
            f"| {label} | {before} | {terminal.ended()} | {'there' if there else 'gone'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
