"""What is measured: a row each, with its request, and how one sees that every answer was right."""

import dataclasses

import grpc
from wire import field, fields, frame, number_field, varint

KEY = "k" * 16
# Gets read a key that no row writes, so that their answers keep their length.
READ = "r" * 16
VALUE = "v" * 100
ECHOES = {
    "hyper": "hyper echo",
    "tonic": "tonic echo",
    "tonic, stock": "tonic echo, stock",
    "C++": "C++ echo",
    "Go": "Go echo",
    "Node": "Node echo",
    "Python": "Python echo",
}
KEY_VALUE = "/kvrpc.v1.KeyValueService/"
ENCODE = "/kvrpc.v1.CodecService/Encode"


class Wrong(Exception):
    """An answer that is not the expected one."""


@dataclasses.dataclass
class Grpc:
    """A call by h2load: one prebuilt body, which may hold several messages of a stream."""

    name: str
    server: str
    path: str
    message: bytes
    # Checks one answer's message, and gives back what the next calls' answers depend on.
    check: object
    # The bytes of DATA that a number of answers have, from what `check` gave back.
    expected: object
    operations: int = 1
    headers: dict = dataclasses.field(default_factory=dict)
    messages: int = 1
    # Its answers change from call to call.
    writes: bool = False

    def body(self):
        """The whole request's body."""
        return frame(self.message) * self.messages

    def probe(self, address):
        """One call by another client, checked: grpc-status 0, and the value's bytes."""
        with grpc.insecure_channel(address) as channel:
            metadata = tuple(self.headers.items())
            if self.messages == 1:
                answer = channel.unary_unary(self.path)(self.message, metadata=metadata, timeout=10)
            else:
                stream = channel.stream_stream(self.path)(
                    iter([self.message]), metadata=metadata, timeout=10
                )
                [answer] = list(stream)
        return self.check(answer)


@dataclasses.dataclass
class Resp:
    """A command by redis-benchmark with so many in its pipeline."""

    name: str
    server: str
    command: str
    pipeline: int


def need(condition, what):
    """Ends the run if an answer is wrong."""
    if not condition:
        raise Wrong(what)


def sign_in(address, user="bench"):
    """A guest's token."""
    with grpc.insecure_channel(address) as channel:
        answer = channel.unary_unary("/kvrpc.v1.AuthService/SignIn")(field(1, user), timeout=10)
    return dict(fields(answer))[1].decode()


def echo(name, server):
    """An echo of the value: each answer is the request's bytes."""
    message = field(1, VALUE)

    def check(answer):
        need(answer == message, f"{name} answered {answer!r}")
        return len(answer)

    return Grpc(name, server, ENCODE, message, check, lambda length, calls: calls * (5 + length))


def get(name):
    """A checker of gets: each has the value."""

    def check(answer):
        need(dict(fields(answer)).get(1) == VALUE.encode(), f"{name} answered {answer!r}")
        return len(answer)

    return check


def put_size(revision):
    """The bytes of a frame that says: written at this revision, in memory."""
    return 5 + 1 + len(varint(revision)) + 2


def put_check(answer):
    """A put's answer has a revision and a durability."""
    got = dict(fields(answer))
    need(set(got) == {1, 2} and got[2] == 1, f"Put answered {answer!r}")
    return got[1]


def put_total(revision, calls):
    """The bytes of the answers behind that of a revision: each is one higher."""
    total, at, end = 0, revision + 1, revision + calls + 1
    while at < end:
        size = put_size(at)
        # All that follow with as many bytes in their revision.
        until = min(end, 1 << 7 * (size - 8))
        total, at = total + size * (until - at), until
    return total


# Batches that a Pipeline's stream has.
IN_A_STREAM = 64


def gets(name, count, headers, pipeline=False):
    """Gets, together in one unary call, or batch after batch on a stream."""
    message = field(2 if pipeline else 1, field(1, field(1, READ))) * count
    results_field, batches = (2, IN_A_STREAM) if pipeline else (1, 1)

    def check(answer):
        results = [dict(fields(data)) for number, data in fields(answer) if number == results_field]
        need(len(results) == count, f"{name} answered {answer!r}")
        for result in results:
            need(VALUE.encode() in dict(fields(result[1])).values(), f"{name} answered {result}")
        return len(answer)

    def expected(length, calls):
        return calls * batches * (5 + length)

    path = KEY_VALUE + ("Pipeline" if pipeline else "Batch")
    return Grpc(name, "kvrpc", path, message, check, expected, count * batches, headers, batches)


def puts(name, count, headers, pipeline=False):
    """Puts in the same ways.

    The answers grow with their revisions, so the length of each is computed.
    """
    message = field(2 if pipeline else 1, field(2, field(1, KEY) + field(2, VALUE))) * count
    results_field, batches = (2, IN_A_STREAM) if pipeline else (1, 1)

    def answer_of(revision):
        results = (
            field(results_field, field(2, number_field(1, at)))
            for at in range(revision - count + 1, revision + 1)
        )
        return (
            b"".join(results)
            + number_field(results_field + 1, revision)
            + number_field(results_field + 2, 1)
        )

    def check(answer):
        revision = dict(fields(answer)).get(results_field + 1, 0)
        need(answer == answer_of(revision), f"{name} answered {answer!r}")
        return revision

    def expected(revision, calls):
        lengths, total = {}, 0
        for number in range(1, calls * batches + 1):
            last = revision + number * count
            # All answers between two growths of a varint are as long.
            span = (len(varint(last - count + 1)), len(varint(last)))
            if span[0] != span[1] or span not in lengths:
                lengths[span] = len(answer_of(last))
            total += 5 + lengths[span]
        return total

    path = KEY_VALUE + ("Pipeline" if pipeline else "Batch")
    return Grpc(
        name,
        "kvrpc",
        path,
        message,
        check,
        expected,
        count * batches,
        headers,
        batches,
        writes=True,
    )


def all_of(servers):
    """Every row whose server runs. Writes the keys that they read."""
    rows = []
    if server := servers.get("kvrpc"):
        headers = {"authorization": f"Bearer {sign_in(server.address)}"}
        put = Grpc(
            "kvrpc Put",
            "kvrpc",
            KEY_VALUE + "Put",
            field(1, KEY) + field(2, VALUE),
            put_check,
            put_total,
            headers=headers,
            writes=True,
        )
        dataclasses.replace(put, message=field(1, READ) + field(2, VALUE)).probe(server.address)
        length = lambda size, calls: calls * (5 + size)
        rows += [
            Grpc(
                "kvrpc Get",
                "kvrpc",
                KEY_VALUE + "Get",
                field(1, READ),
                get("Get"),
                length,
                headers=headers,
            ),
            put,
        ]
        for kind, pipeline in (("Batch", False), ("Pipeline", True)):
            rows += [
                gets(f"kvrpc {kind} of {count} Gets", count, headers, pipeline)
                for count in (16, 128)
            ]
            rows += [
                puts(f"kvrpc {kind} of {count} Puts", count, headers, pipeline)
                for count in (16, 128)
            ]
    for server, name in ECHOES.items():
        if server in servers:
            rows.append(echo(name, server))
    if server := servers.get("etcd"):
        with grpc.insecure_channel(server.address) as channel:
            channel.unary_unary("/etcdserverpb.KV/Put")(field(1, KEY) + field(2, VALUE), timeout=10)

        def check(answer):
            found = dict(fields(dict(fields(answer)).get(2, b"")))
            need(found.get(5) == VALUE.encode(), f"etcd answered {answer!r}")
            return len(answer)

        rows.append(
            Grpc(
                "etcd Range",
                "etcd",
                "/etcdserverpb.KV/Range",
                field(1, KEY),
                check,
                lambda n, calls: calls * (5 + n),
            )
        )
    if "redis-server" in servers:
        rows += [
            Resp(f"redis {command} -P {pipeline}", "redis-server", command, pipeline)
            for command in ("GET", "SET")
            for pipeline in (1, 16, 64)
        ]
    return rows
