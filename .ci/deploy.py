"""Checks deploy/: files can be read, and their flags are those of the server.

Reads the compose file and the units.
"""

import configparser
import pathlib
import shlex
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
SERVER = ROOT / "target" / "debug" / "kvrpc-server"


def takes(flags):
    """Runs the server's own check of its configuration."""
    done = subprocess.run(
        [SERVER, *flags, "check-config"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{flags}: {done.stderr}")


def compose():
    """Every service is of something, and mentions networks, volumes and services that are there."""
    stack = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    for name, service in stack["services"].items():
        assert "image" in service or "build" in service, name
        assert set(service.get("networks", [])) <= set(stack["networks"]), name
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(
            stack["volumes"]
        ), name
        assert set(service.get("depends_on", [])) <= set(stack["services"]), name
        if name.startswith("kvrpc"):
            takes(service["command"])
    assert sum(name.startswith("redis") for name in stack["services"]) == 6


def unit(path):
    """A unit's commands are whole, and systemd itself finds no fault in it where it is there."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(path.read_text().replace("\\\n", " "))
    assert set(parser.sections()) == {"Unit", "Service", "Install"}, path
    program, *flags = shlex.split(parser["Service"]["ExecStart"])
    assert program.startswith("/usr/"), path
    if program.endswith("kvrpc-server"):
        # The configuration file is the operator's own.
        at = flags.index("--config")
        takes([flag.replace("%i", "50051") for flag in flags[:at] + flags[at + 2 :]])
    if shutil.which("systemd-analyze"):
        told = subprocess.run(
            ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False
        ).stderr
        faults = [
            line
            for line in told.splitlines()
            if path.stem in line and "is not executable" not in line
        ]
        assert not faults, faults


compose()
for each in sorted((ROOT / "deploy").glob("*.service")):
    unit(each)
