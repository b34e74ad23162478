"""Starts the servers, each pinned to core 0, and reads what the system says of them."""

import os
import pathlib
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from install import ECHO, PROGRAMS, ROOT, TOOLS

SERVER_CORE, CLIENT_CORE = "0", "1"
START_SECONDS = 30


class Server:
    """A running server: its process, its address, and what it is called."""

    def __init__(self, name, command, pattern=r"(127\.0\.0\.1:\d+)", address=None):
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="kvrpc-bench-")
        command = ["taskset", "-c", SERVER_CORE, *map(str, command)]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        os.set_blocking(self.process.stderr.fileno(), False)
        self.log = b""
        if address is None:
            self.address = self.find(pattern)
        else:
            self.address = address
            self.wait_for_port()

    def find(self, pattern):
        """What the log names; waits for it."""
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stderr, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if found := re.search(pattern, self.log.decode(errors="replace")):
                    return found.group(1)
                if selector.select(timeout=0.5):
                    piece = self.process.stderr.read()
                    if piece == b"":
                        break
                    self.log += piece or b""
        self.stop()
        sys.exit(f"{self.name} did not start:\n{self.log.decode(errors='replace')}")

    def wait_for_port(self):
        """Waits until the address accepts."""
        host, port = self.address.split(":")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        sys.exit(f"{self.name} does not accept on {self.address}")

    def cpu(self):
        """Seconds of CPU that the process's threads have used.

        Read from the scheduler, since the counts of user and system time have hundredths only.
        """
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def resident(self):
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def stop(self):
        """Ends the process and removes what it wrote."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def quiet(self):
        """Throws away what the log has gathered, so that its pipe does not fill."""
        while self.process.stderr.read():
            pass


def free_port():
    """A port that nobody had a moment ago, for servers that do not choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kvrpc(*more):
    """kvrpc-server with its limits, roles and metrics as they are by default."""
    return Server(
        "kvrpc",
        [
            PROGRAMS / "kvrpc-server",
            "--listen",
            "127.0.0.1:0",
            "--compat",
            "text=127.0.0.1:0",
            *more,
        ],
        r"grpc=(\S+)",
    )


def redis():
    """Redis without persistence, as kvrpc has none."""
    port = free_port()
    command = [
        "redis-server",
        "--port",
        port,
        "--save",
        "",
        "--appendonly",
        "no",
        "--maxclients",
        "10000",
        "--loglevel",
        "warning",
    ]
    return Server("redis-server", command, address=f"127.0.0.1:{port}")


def etcd():
    """One member of etcd."""
    client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    command = [
        "etcd",
        "--data-dir",
        "data",
        "--log-level",
        "error",
        "--listen-client-urls",
        client,
        "--advertise-client-urls",
        client,
    ]
    command += [
        "--listen-peer-urls",
        peer,
        "--initial-advertise-peer-urls",
        peer,
        "--initial-cluster",
        f"default={peer}",
    ]
    return Server("etcd", command, address=client.removeprefix("http://"))


EXAMPLES = PROGRAMS / "examples"
START = {
    "kvrpc": kvrpc,
    "redis-server": redis,
    "etcd": etcd,
    "tonic": lambda: Server("tonic", [EXAMPLES / "bare_echo"]),
    "tonic, stock": lambda: Server("tonic, stock", [EXAMPLES / "bare_echo", "--stock"]),
    "hyper": lambda: Server("hyper", [EXAMPLES / "bare_hyper_echo"]),
    "C++": lambda: Server("C++", [TOOLS / "bin" / "cpp-echo"]),
    "Go": lambda: Server("Go", [TOOLS / "bin" / "go-echo"]),
    "Node": lambda: Server(
        "Node",
        ["node", TOOLS / "node" / "echo.js", ROOT / "proto" / "kvrpc" / "v1" / "codec.proto"],
    ),
    "Python": lambda: Server("Python", [TOOLS / "python" / "bin" / "python", ECHO / "echo.py"]),
}
