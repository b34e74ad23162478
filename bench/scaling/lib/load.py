"""A server and a client that can be halted, so that many such pairs take turns within seconds."""

import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
RELEASE = ROOT / "target" / "release"

# Nobody answers a PING while it is halted.
SETTINGS = """
[limits]
keys-per-user = 100000000
bytes-per-user = "64GiB"
store-bytes = "64GiB"
sessions = 1000000
sign-ins-per-second = 1000000
keepalive-interval = "1h"
"""

KEY, VALUE = "bench", "v" * 100
# How long a load may take to begin: 100,000 users sign in, or 10,000,000 keys are put.
PATIENCE = 180
# Calls that tell that a load has begun, and for h2load those of the run that shows how many bytes a call is.
BEGUN, CALIBRATION = 1_000, 20_000


def field(number, text):
    """A string field of a message."""
    return bytes([number << 3 | 2, len(text)]) + text.encode()


def frame(message):
    """A message as it stands in a gRPC body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def alone(core, *command):
    """A command that keeps to one core."""
    return ["taskset", "-c", str(core), *map(str, command)]


class Server:
    """A server on core 0: kvrpc's, or the bare tonic echo."""

    def __init__(self, settings, echo=False):
        kvrpc = [RELEASE / "kvrpc-server", "--config", settings, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--no-compat"]
        command = [RELEASE / "examples" / "bare_echo"] if echo else kvrpc
        self.process = subprocess.Popen(alone(0, *command), stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"^(\S+:\d+)$" if echo else r"grpc=(\S+) admin=(\S+)", line):
                self.address, self.admin = found.group(1), found.group(found.lastindex)
                return
        sys.exit(f"{command[0]} did not start")

    def cpu(self):
        """Seconds of CPU that its threads have used. This count is exact; that of user and system time is in hundredths."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def calls(self, methods):
        """How many calls of these methods kvrpc-server has answered."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics") as page:
            text = page.read().decode()
        return sum(int(count) for count in re.findall(rf'^kvrpc_calls_total{{.*method="(?:{methods})"}} (\d+)$', text, re.M))

    def cli(self, *arguments):
        """What kvrpc-cli prints."""
        command = [RELEASE / "kvrpc-cli", "--server", self.address, "--user", "bench", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Load:
    """A client's load on a server, halted or running. `operations` counts what was answered."""

    def __init__(self, server, command, operations):
        self.server, self.command, self.operations = server, list(map(str, command)), operations
        self.cpu, self.rate = [], []
        self.output = tempfile.TemporaryFile("w+")
        self.client = subprocess.Popen(alone(1, *command), stdout=self.output, stderr=self.output)

    def begin(self):
        """Waits until the load has begun, and halts it."""
        deadline = time.monotonic() + PATIENCE
        while self.operations(self) < BEGUN:
            if self.client.poll() is not None or time.monotonic() > deadline:
                self.fail("did not begin")
            time.sleep(0.05)
        self.client.send_signal(signal.SIGSTOP)

    def window(self, seconds, settle):
        """Runs it for so long, behind a time in which the caches get their own again; adds what an operation cost."""
        self.client.send_signal(signal.SIGCONT)
        time.sleep(settle)
        begun, operations, cpu = time.monotonic(), self.operations(self), self.server.cpu()
        time.sleep(seconds)
        operations, cpu, took = self.operations(self) - operations, self.server.cpu() - cpu, time.monotonic() - begun
        if self.client.poll() is not None or not operations:
            self.fail("ended before its time")
        self.client.send_signal(signal.SIGSTOP)
        self.cpu.append(round(cpu / operations * 1e6, 4))
        self.rate.append(round(operations / took))

    def printed(self):
        """All that the client printed."""
        self.output.seek(0)
        return self.output.read()

    def fail(self, why):
        """Ends the run with what the client printed."""
        sys.exit(f"{' '.join(self.command)} {why}:\n{self.printed()}")

    def end(self):
        """Says whether all was right, once nothing more is measured."""
        if self.client.poll() is not None:
            self.fail("ended before its time")

    def kill(self):
        """Ends the client, if it is still there, and the server."""
        for process in (self.client, self.server.process):
            process.kill()
            process.wait()


class Bench(Load):
    """`kvrpc-cli bench`. It checks each answer, and one that is wrong ends it: as long as it runs, all were right."""

    def __init__(self, settings, arguments):
        server = Server(settings)
        options = dict(zip(arguments[1::2], map(int, arguments[2::2])))
        batch, methods, filling = options.get("--batch", 1), "Get|Put", 0
        if batch > 1:
            methods, filling = "Batch", math.ceil(options["--keys"] / 1_000)
        command = [RELEASE / "kvrpc-cli", "--server", server.address, "--user", "bench", "bench", *arguments, "--duration", "1h"]
        super().__init__(server, command, lambda load: (load.server.calls(methods) - filling) * batch)


class H2load(Load):
    """h2load (Debian: nghttp2-client) with one request again and again, until a time at which it tells how many succeeded."""

    def __init__(self, settings, arguments, until, echo=False):
        server = Server(settings, echo)
        if echo:
            path, message, answer, headers = "/kvrpc.v1.CodecService/Encode", field(1, VALUE), field(1, VALUE), []
        else:
            server.cli("put", KEY, VALUE)
            # The value, and the revision of the store's first write.
            path, message, answer = "/kvrpc.v1.KeyValueService/Get", field(1, KEY), field(1, VALUE) + bytes([3 << 3, 1])
            headers = [f"authorization: Bearer {server.cli('token').strip()}"]
        self.body = tempfile.NamedTemporaryFile()
        self.body.write(frame(message))
        self.body.flush()
        given = [word for header in ("content-type: application/grpc", "te: trailers", *headers) for word in ("-H", header)]
        self.request = ["-d", self.body.name, *given, f"http://{server.address}{path}"]
        self.answer = len(frame(answer))
        few = subprocess.run(alone(1, "h2load", f"-n{CALIBRATION}", "-c1", "-m16", *self.request), capture_output=True, text=True, check=True).stdout
        # What it reads are its answers and, for each request, the file with the body.
        bytes_a_call = self.checked(few) / CALIBRATION + len(frame(message))
        read = lambda load: int(re.search(r"rchar: (\d+)", pathlib.Path(f"/proc/{load.client.pid}/io").read_text()).group(1)) / bytes_a_call  # noqa: E731
        duration = max(1, round(until - time.monotonic()))
        super().__init__(server, ["h2load", f"-D{duration}", "-t1", *arguments, *self.request], read)

    def checked(self, printed):
        """The bytes that a run received. h2load counts no status of gRPC, but a failed call has no DATA: its bytes must be those of right answers."""
        counts = {word: int(count) for count, word in re.findall(r"(\d+) (started|done|succeeded)", printed)}
        traffic = re.search(r"traffic: .*?\((\d+)\) total.*\((\d+)\) data", printed)
        if not traffic or counts["succeeded"] != counts["done"]:
            sys.exit(f"calls that did not succeed:\n{printed}")
        if not counts["done"] * self.answer <= int(traffic.group(2)) <= counts["started"] * self.answer:
            sys.exit(f"answers that should have {self.answer} bytes:\n{printed}")
        return int(traffic.group(1))

    def end(self):
        """Lets it come to its time, and checks what it counted."""
        self.client.send_signal(signal.SIGCONT)
        self.client.wait()
        self.checked(self.printed())


def memory():
    """What a line of memory costs on core 0: [(bytes that are in use, nanoseconds)]."""
    printed = subprocess.run(alone(0, RELEASE / "examples" / "memory_latency"), capture_output=True, text=True, check=True).stdout
    return json.loads(printed)
