"""The server under test: started on ports of the system's choice, and looked at from outside."""

import os
import pathlib
import re
import resource
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/release/kvrpc-server"
CONNECTIONS = 10_000
DIALECTS = [
    "text",
    "pickle",
    "ws-pickle",
    "ws-text",
    "encode",
    "decode",
    "clock",
    "hello",
    "calc",
    "chat",
]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def build():
    """Builds the server, if it is missing."""
    if not BINARY.exists():
        subprocess.run(
            ["cargo", "build", "--release", "--locked", "--bin", "kvrpc-server"],
            cwd=ROOT,
            check=True,
        )


def raise_descriptors(wanted):
    """Raises this process's limit of descriptors as far as it may go; gives what it got."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, wanted), limit))
            return min(limit, wanted)
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Server:
    """A server with listeners for gRPC and these dialects, until `stop`."""

    def __init__(self, dialects=DIALECTS, descriptors=200_000, config=""):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".toml")
        self.file.write(f"[limits]\nconnections = {CONNECTIONS}\n{config}")
        self.file.flush()
        arguments = [
            str(BINARY),
            "--config",
            self.file.name,
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]
        for dialect in dialects:
            arguments += ["--compat", f"{dialect}=127.0.0.1:0"]
        if not dialects:
            arguments.append("--no-compat")

        def limit():
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            for most in (descriptors, min(descriptors, hard)):
                try:
                    return resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
                except (ValueError, OSError):
                    continue

        environment = {"PATH": os.environ["PATH"], "RUST_BACKTRACE": "1"}
        self.process = subprocess.Popen(
            arguments,
            env=environment,
            preexec_fn=limit,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.log, self.addresses = [], {}
        for line in self.process.stderr:
            self.log.append(line)
            if "ready: " in line:
                break
        for protocol, host, port in re.findall(
            r"([a-z-]+)=([\d.]+):(\d+)", self.log[-1] if self.log else ""
        ):
            self.addresses.setdefault(protocol, (host, int(port)))
        if "grpc" not in self.addresses:
            raise SystemExit("the server did not start:\n" + "".join(self.log))
        # What it logs must be read, or it would wait for its reader.
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        for line in self.process.stderr:
            if len(self.log) < 1000:
                self.log.append(line)

    def alive(self):
        return self.process.poll() is None

    def rss(self):
        """Resident memory in MiB."""
        try:
            with open(f"/proc/{self.process.pid}/statm") as file:
                return int(file.read().split()[1]) * PAGE / 2**20
        except (OSError, IndexError):
            return 0.0

    def peak(self):
        """The most that it ever was, in MiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) / 1024

    def cpu(self):
        """Processor time so far, in seconds."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        """Stops it; says whether it ended in good order, as a running server does."""
        running = self.alive()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        self.file.close()
        panicked = any("panicked" in line for line in self.log)
        return running and self.process.returncode == 0 and not panicked


class Cpu:
    """The processor time that a server takes from here on, as a share of one core."""

    def __init__(self, server):
        self.server, self.began, self.spent = server, time.monotonic(), server.cpu()

    def share(self):
        return (self.server.cpu() - self.spent) / max(time.monotonic() - self.began, 1e-9)
