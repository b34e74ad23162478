"""Client with stubs generated from proto/.

Calls sign-in, put, get, auth and getother, reads an error's details, and uses reflection.

Usage: client.py HOST:PORT PROTO_DIRECTORY   (the account adam has the password bill)
Needs grpcio, grpcio-tools, grpcio-reflection and googleapis-common-protos.
"""

import importlib
import pathlib
import sys
import tempfile

import grpc
from google.rpc import error_details_pb2
from google.rpc import status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_tools import protoc


def generate(proto):
    """Generates the stubs into a new folder and makes them importable."""
    out = tempfile.mkdtemp()
    files = [str(path) for path in sorted(pathlib.Path(proto).glob("kvrpc/v1/*.proto"))]
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"-I{proto}",
            f"-I{well_known}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            *files,
        ]
    )
    if code != 0:
        sys.exit(f"protoc ended with {code}")
    sys.path.insert(0, out)


def reason(error):
    """The reason of a failure's ErrorInfo."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    for detail in status_pb2.Status.FromString(details).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "kvrpc", info
            return info.reason
    raise AssertionError("no ErrorInfo")


def fails(call, code, why):
    """Makes a call that has to fail."""
    try:
        call()
    except grpc.RpcError as error:
        assert (error.code(), reason(error)) == (code, why), error
    else:
        raise AssertionError(f"no {why}")


def main(address, proto):
    """One session."""
    generate(proto)
    auth_pb2 = importlib.import_module("kvrpc.v1.auth_pb2")
    kv_pb2 = importlib.import_module("kvrpc.v1.key_value_pb2")
    types_pb2 = importlib.import_module("kvrpc.v1.types_pb2")
    auth_grpc = importlib.import_module("kvrpc.v1.auth_pb2_grpc")
    kv_grpc = importlib.import_module("kvrpc.v1.key_value_pb2_grpc")
    with grpc.insecure_channel(address) as channel:
        auth, kv = auth_grpc.AuthServiceStub(channel), kv_grpc.KeyValueServiceStub(channel)

        def bearer(token):
            return [("authorization", f"Bearer {token}")]

        rwitick = bearer(auth.SignIn(auth_pb2.SignInRequest(user="rwitick")).token)
        anuran = bearer(auth.SignIn(auth_pb2.SignInRequest(user="anuran")).token)
        put = kv.Put(kv_pb2.PutRequest(key="city", value="Kolkata"), metadata=anuran)
        assert put.revision == 1 and put.durability == types_pb2.DURABILITY_LOCAL, put
        assert kv.Get(kv_pb2.GetRequest(key="city"), metadata=anuran).value == "Kolkata"
        blob = bytes(range(256))
        kv.Put(kv_pb2.PutRequest(key="blob", blob=blob), metadata=anuran)
        assert kv.Get(kv_pb2.GetRequest(key="blob"), metadata=anuran).blob == blob

        other = kv_pb2.GetOtherRequest(user="anuran", key="city")
        fails(
            lambda: kv.GetOther(other, metadata=rwitick),
            grpc.StatusCode.PERMISSION_DENIED,
            "MANAGER_REQUIRED",
        )
        fails(lambda: kv.GetOther(other), grpc.StatusCode.UNAUTHENTICATED, "SESSION_REQUIRED")
        wrong = auth_pb2.AuthRequest(user="adam", password="wrong")
        fails(lambda: auth.Auth(wrong), grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS")
        right = auth_pb2.AuthRequest(user="adam", password="bill")
        raised = auth.Auth(right, metadata=rwitick)
        assert (
            bearer(raised.token) == rwitick and raised.user.role == types_pb2.ROLE_MANAGER
        ), raised
        assert kv.GetOther(other, metadata=rwitick).value == "Kolkata"
        accesses = auth.ListAccesses(auth_pb2.ListAccessesRequest(), metadata=anuran).accesses
        assert [(row.user.name, row.account, row.key) for row in accesses] == [
            ("rwitick", "adam", "city")
        ], accesses
        scanned = [
            entry.key
            for part in kv.Scan(kv_pb2.ScanRequest(), metadata=anuran)
            for entry in part.entries
        ]
        assert sorted(scanned) == ["blob", "city"], scanned

        # This client asks for v1alpha.
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert "kvrpc.v1.KeyValueService" in services, services
    print("ok")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
