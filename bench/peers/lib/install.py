"""Installs the servers and load generators of the comparison.

They are Debian's packages, this package's programs, and the echo servers in other languages.
"""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
ECHO = ROOT / "bench" / "peers" / "echo"
TOOLS = ROOT / "target" / "bench"
PROGRAMS = ROOT / "target" / "dist"

GRPCIO = "1.85.1"
GHZ = "v0.120.0"
# A program of each package, by which one sees that it is there.
DEBIAN = {
    "redis-server": "redis-server",
    "redis-tools": "redis-benchmark",
    "etcd-server": "etcd",
    "nghttp2-client": "h2load",
    "g++": "g++",
    "protobuf-compiler": "protoc",
    "protobuf-compiler-grpc": "grpc_cpp_plugin",
}


def run(*command, **more):
    """Runs a command, and ends with what it said if it fails."""
    done = subprocess.run(
        [str(word) for word in command], text=True, capture_output=True, check=False, **more
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def everything():
    """Installs and builds what is missing."""
    (TOOLS / "bin").mkdir(parents=True, exist_ok=True)
    os.environ["PATH"] += ":/usr/sbin:/sbin:/usr/local/go/bin"
    missing = [package for package, program in DEBIAN.items() if not shutil.which(program)]
    if not pathlib.Path("/usr/include/grpcpp/grpcpp.h").exists():
        missing.append("libgrpc++-dev")
    if missing:
        print("installing", *missing, flush=True)
        # A package's own service is not wanted: the servers are started here.
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        run("apt-get", "update", env=quiet)
        run("apt-get", "install", "-y", *missing, env=quiet)
    print("building", flush=True)
    # Built separately: a common build would give the server the features that only the load
    # generator needs.
    for what in (
        ["--bins"],
        ["-p=kvrpc-bench", "--example=bare_echo", "--example=bare_hyper_echo"],
    ):
        run("cargo", "build", "--profile", "dist", "--locked", *what, cwd=ROOT)
    python()
    go()
    node()
    cpp()


def python():
    """A virtual environment with gRPC: the Python peer, and the client that checks answers."""
    home = TOOLS / "python"
    if not (home / "bin" / "python").exists():
        run(sys.executable, "-m", "venv", home)
        run(home / "bin" / "pip", "install", "--quiet", f"grpcio=={GRPCIO}", "protobuf")


def go():
    """The Go peer, and ghz."""
    if not (TOOLS / "bin" / "ghz").exists():
        run(
            "go",
            "install",
            f"github.com/bojand/ghz/cmd/ghz@{GHZ}",
            env={**os.environ, "GOBIN": str(TOOLS / "bin")},
        )
    if older(TOOLS / "bin" / "go-echo", ECHO / "go" / "main.go"):
        run("go", "build", "-mod=readonly", "-o", TOOLS / "bin" / "go-echo", ".", cwd=ECHO / "go")


def node():
    """The Node peer."""
    home = TOOLS / "node"
    home.mkdir(exist_ok=True)
    if not (home / "node_modules" / "@grpc" / "grpc-js").exists():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ECHO / name, home)
        run("npm", "ci", "--silent", "--no-fund", "--no-audit", cwd=home)
    shutil.copy(ECHO / "echo.js", home)


def cpp():
    """The C++ peer, by Debian's gRPC."""
    program, generated = TOOLS / "bin" / "cpp-echo", TOOLS / "cpp"
    if not older(program, ECHO / "echo.cc"):
        return
    generated.mkdir(exist_ok=True)
    proto = ROOT / "proto" / "kvrpc" / "v1"
    plugin = shutil.which("grpc_cpp_plugin")
    run(
        "protoc",
        f"-I{proto}",
        f"--cpp_out={generated}",
        f"--grpc_out={generated}",
        f"--plugin=protoc-gen-grpc={plugin}",
        "codec.proto",
    )
    flags = run("pkg-config", "--cflags", "--libs", "protobuf", "grpc++").split()
    sources = [ECHO / "echo.cc", generated / "codec.pb.cc", generated / "codec.grpc.pb.cc"]
    run(
        "g++",
        "-O2",
        "-std=c++17",
        f"-I{generated}",
        *sources,
        "-o",
        program,
        *flags,
        "-lgpr",
        "-lpthread",
    )


def older(product, source):
    """Whether a product is missing or older than its source."""
    return not product.exists() or product.stat().st_mtime < source.stat().st_mtime
