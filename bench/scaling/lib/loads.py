"""Clients that can be halted, so that many of them, each with its own server, take turns."""

import math
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from install import PROGRAMS
from servers import CLIENT_CORE
from wire import field, frame, number_field

KEY, VALUE = "bench", "v" * 100
# Seconds that a load may take to begin: 100,000 users sign in, or 10,000,000 keys are put.
BEGINNING = 180
# Seconds for everything else that is waited for.
PATIENCE = 30
# Calls that show that a load has begun; for h2load, those of the run that shows the bytes of a
# call.
BEGUN, CALIBRATION = 1_000, 20_000


def on_its_core(*command):
    """A client's command that keeps to its core."""
    return ["taskset", "-c", CLIENT_CORE, *map(str, command)]


def printed_by(*command):
    """What a client printed."""
    return subprocess.run(
        on_its_core(*command), capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout


def cli(server, *arguments):
    """The command line of kvrpc-cli at a server."""
    return [PROGRAMS / "kvrpc-cli", "--server", server.address, "--user", "bench", *arguments]


class Load:
    """A client's load on a server, running or halted."""

    def __init__(self, server, command):
        self.server, self.command = server, on_its_core(*command)
        self.cpu, self.rate = [], []
        self.output = tempfile.TemporaryFile("w+")
        self.client = subprocess.Popen(self.command, stdout=self.output, stderr=self.output)

    def operations(self):
        """How many were answered."""
        raise NotImplementedError

    def begin(self):
        """Waits until the load has begun, and halts it."""
        deadline = time.monotonic() + BEGINNING
        while self.operations() < BEGUN:
            if self.client.poll() is not None or time.monotonic() > deadline:
                self.fail("did not begin")
            time.sleep(0.05)
        self.client.send_signal(signal.SIGSTOP)

    def window(self, seconds, settle):
        """Runs the load for a time, after a warm-up of the caches; adds the cost of a call."""
        self.client.send_signal(signal.SIGCONT)
        time.sleep(settle)
        begun, operations, cpu = time.monotonic(), self.operations(), self.server.cpu()
        time.sleep(seconds)
        operations, cpu, took = (
            self.operations() - operations,
            self.server.cpu() - cpu,
            time.monotonic() - begun,
        )
        if self.client.poll() is not None or not operations:
            self.fail("ended before its time")
        self.client.send_signal(signal.SIGSTOP)
        self.cpu.append(round(cpu / operations * 1e6, 4))
        self.rate.append(round(operations / took))

    def check(self):
        """Ends the run if an answer was wrong, once nothing more is measured."""
        if self.client.poll() is not None:
            self.fail("ended before its time")

    def printed(self):
        """All that the client printed."""
        self.output.seek(0)
        return self.output.read()

    def fail(self, why):
        """Ends the run with what the client printed."""
        sys.exit(f"{' '.join(self.command)} {why}:\n{self.printed()}")

    def stop(self):
        """Ends the client, if it is still there."""
        self.client.kill()
        self.client.wait()


class Bench(Load):
    """`kvrpc-bench`, which checks each answer and exits at a wrong one."""

    def __init__(self, server, arguments):
        options = dict(zip(arguments[1::2], map(int, arguments[2::2])))
        admin = server.find(r"admin=(\S+)")
        self.metrics = f"http://{admin}/metrics"
        self.batch = options.get("--batch", 1)
        # Batches of 1,000 fill the store, and are none of the load.
        self.methods, self.filling = (
            ("Get|Put", 0) if self.batch == 1 else ("Batch", math.ceil(options["--keys"] / 1_000))
        )
        super().__init__(
            server,
            [PROGRAMS / "kvrpc-bench", *arguments, "--server", server.address, "--duration", "1h"],
        )

    def operations(self):
        with urllib.request.urlopen(self.metrics, timeout=PATIENCE) as page:
            calls = re.findall(
                rf'^kvrpc_calls_total{{.*method="(?:{self.methods})"}} (\d+)$',
                page.read().decode(),
                re.M,
            )
        return (sum(map(int, calls)) - self.filling) * self.batch


class H2load(Load):
    """h2load (Debian: nghttp2-client) with one request, repeated for a time.

    It reports the number of successful calls at the end.
    """

    def __init__(self, server, arguments, until):
        if server.name == "kvrpc":
            printed_by(*cli(server, "put", KEY, VALUE))
            # The value, and the revision of the store's first write.
            path, message, answer = (
                "/kvrpc.v1.KeyValueService/Get",
                field(1, KEY),
                field(1, VALUE) + number_field(3, 1),
            )
            headers = [f"authorization: Bearer {printed_by(*cli(server, 'token')).strip()}"]
        else:
            path, message, answer, headers = (
                "/kvrpc.v1.CodecService/Encode",
                field(1, VALUE),
                field(1, VALUE),
                [],
            )
        self.body = tempfile.NamedTemporaryFile()
        self.body.write(frame(message))
        self.body.flush()
        self.answer = len(frame(answer))
        given = [
            word
            for header in ("content-type: application/grpc", "te: trailers", *headers)
            for word in ("-H", header)
        ]
        request = ["-d", self.body.name, *given, f"http://{server.address}{path}"]
        few = printed_by("h2load", f"-n{CALIBRATION}", "-c1", "-m16", *request)
        # What it reads are its answers and, for each request, the file with the body.
        self.bytes_a_call = self.checked(few) / CALIBRATION + len(frame(message))
        duration = max(1, round(until - time.monotonic()))
        super().__init__(server, ["h2load", f"-D{duration}", "-t1", *arguments, *request])
        self.until = until

    def operations(self):
        read = re.search(r"rchar: (\d+)", pathlib.Path(f"/proc/{self.client.pid}/io").read_text())
        return int(read.group(1)) / self.bytes_a_call

    def checked(self, printed):
        """The bytes that a run received.

        h2load reads no gRPC status, but a failed call has no DATA: the bytes must be those of right
        answers.
        """
        counts = {
            word: int(count)
            for count, word in re.findall(r"(\d+) (started|done|succeeded)", printed)
        }
        traffic = re.search(r"traffic: .*?\((\d+)\) total.*\((\d+)\) data", printed)
        if not traffic or counts["succeeded"] != counts["done"]:
            sys.exit(f"calls that did not succeed:\n{printed}")
        if (
            not counts["done"] * self.answer
            <= int(traffic.group(2))
            <= counts["started"] * self.answer
        ):
            sys.exit(f"answers that should have {self.answer} bytes:\n{printed}")
        return int(traffic.group(1))

    def check(self):
        self.client.send_signal(signal.SIGCONT)
        self.client.wait(timeout=max(0, self.until - time.monotonic()) + PATIENCE)
        self.checked(self.printed())
