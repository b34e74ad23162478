"""Echo server in Python, by grpcio.

Request and response are encoded as StringValue, which has the same bytes: one string, field 1.
"""

import concurrent.futures
import sys

import grpc
from google.protobuf.wrappers_pb2 import StringValue


def encode(request, _):
    """Answers with the text."""
    return StringValue(value=request.value)


handler = grpc.unary_unary_rpc_method_handler(
    encode, StringValue.FromString, StringValue.SerializeToString
)
server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
server.add_generic_rpc_handlers(
    (grpc.method_handlers_generic_handler("kvrpc.v1.CodecService", {"Encode": handler}),)
)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"127.0.0.1:{port}", file=sys.stderr, flush=True)
server.wait_for_termination()
