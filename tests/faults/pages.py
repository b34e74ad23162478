"""A web page's requests to listeners on its visitor's own machine: no command in them may run."""

import re
import socket
import time
import urllib.request

import clients
from server import DIALECTS, Server

# A form's text can be any lines, with any of these types, and needs no leave of the server.
COMMANDS = {
    "text": "put a b\nget a\n",
    "chat": "a page was here\n",
    "calc": "1 + 2\n",
    "hello": "knock\n",
    "encode": "\0\0\0\2hi",
    "decode": "\0\0\0\x0801101000",
    "ws-text": "put a b\n",
    "ws-pickle": "put a b\n",
    "pickle": "(lp0\n(dp1\nVmethod\np2\nVput\np3\nsVkey\np4\nVa\np5\nsVvalue\np6\nVb\np7\nsa.",
}


def calls(server):
    """Number of commands that have run over each protocol."""
    host, port = server.addresses["admin"]
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as page:
        text = page.read().decode()
    ran = {}
    for protocol, count in re.findall(r'kvrpc_calls_total\{protocol="([^"]+)"[^}]*\} (\d+)', text):
        ran[protocol] = ran.get(protocol, 0) + int(count)
    return ran


def post(address, body):
    head = (
        f"POST / HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nOrigin: http://page.example\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    stream = socket.create_connection(address, timeout=3)
    stream.sendall(head.encode() + body.encode("latin-1"))
    stream.shutdown(socket.SHUT_WR)
    said = b""
    try:
        while part := stream.recv(4096):
            said += part
    except OSError:
        pass
    stream.close()
    return said


def run():
    """A row for each: what was asked, and whether anything ran."""
    server, rows = Server(), []
    try:
        for protocol in DIALECTS:
            if protocol == "clock":
                continue
            before = calls(server).get(protocol, 0)
            said = post(server.addresses[protocol], COMMANDS[protocol])
            time.sleep(0.1)
            ran = calls(server).get(protocol, 0) - before
            rows.append(
                f"| `{protocol}` | POST with its commands as the body |"
                f" {'RAN ' + str(ran) if ran else 'nothing ran'} |"
                f" {'closed without a word' if not said else repr(said[:40].decode('latin-1'))} |"
            )
        for protocol in ("ws-text", "ws-pickle"):
            for origin, wanted in (("http://page.example", 403), (None, 101)):
                with clients.connect(server.addresses[protocol]) as stream:
                    status = clients.shake(stream, origin)
                what = (
                    f"WebSocket with `Origin: {origin}`"
                    if origin
                    else "WebSocket of a client that is no browser"
                )
                verdict = "nothing ran" if status == 403 else "opened"
                rows.append(
                    f"| `{protocol}` | {what} | {verdict if status == wanted else 'RAN'} |"
                    f" {status} |"
                )
    finally:
        server.stop()
    return rows
