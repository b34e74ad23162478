#!/usr/bin/env python3
"""A client of the dialect `hello`. Usage: hello_client.py HOST:PORT [--wait 5]"""

from old_client import Client, arguments, done, think


def main():
    """Knock knock."""
    options = arguments(__doc__)
    client = Client(options)
    think(options)
    for message in [b"knock knock", b"anything", b"\xff", b" "]:
        client.ask(message, b"Whose there?")
    client.ask(b"knock knock\n", b"Whose there?\n")
    client.close()
    done("hello")


if __name__ == "__main__":
    main()
