#!/usr/bin/env python3
"""Clients of the dialect `chat`. Usage: chat_client.py HOST:PORT [--wait 5]"""

from old_client import Client, arguments, done, expect, think


def hear(client, line):
    """The next message to a client."""
    expect("message", client.receive(f"the message {line!r}"), line)


def main():
    """Three people in the room, who come, talk and go."""
    options = arguments(__doc__)
    anuran, amartya, rwitick = Client(options), Client(options), Client(options)
    think(options)
    # A name that is free has no reply: what comes first is the next one's joining.
    anuran.send(b"anuran")
    think(options)
    anuran.send(b"nobody hears this")
    think(options)
    for name, reply in [
        (b"anuran", b"Name is already taken"),
        (b"ANURAN", b"Name is already taken"),
        (b"adam", b"Name is already taken"),
        (b"5", b"Invalid name"),
        (b"a\tb", b"Invalid name"),
    ]:
        amartya.ask(name, reply)
    amartya.send(b"amartya")
    hear(anuran, b"amartya has joined the chat.")
    think(options)
    # This one sends newlines, and is sent them.
    rwitick.ask(b"anuran\n", b"Name is already taken\n")
    rwitick.send(b"rwitick\n")
    # No history: the newcomer hears what is said from now on, and nothing of itself.
    for client in (anuran, amartya):
        hear(client, b"rwitick has joined the chat.")
    think(options)
    anuran.send(b"hello to all")
    hear(amartya, b"anuran: hello to all")
    hear(rwitick, b"anuran: hello to all\n")
    rwitick.send(b"one\ntwo\n")
    for client in (anuran, amartya):
        both = b"rwitick: one" + b"rwitick: two"
        got = client.receive()
        # Two messages may come in one recv or in two.
        expect("two lines", got if len(got) == len(both) else got + client.receive(), both)
    amartya.send(b"")
    amartya.send(b"quit me not")
    hear(anuran, b"amartya: quit me not")
    hear(rwitick, b"amartya: quit me not\n")
    amartya.send(b"quit")
    amartya.expect_closed("quit")
    hear(anuran, b"amartya has left the chat.")
    hear(rwitick, b"amartya has left the chat.\n")
    # A connection that is lost is told as one that was left.
    rwitick.close()
    hear(anuran, b"rwitick has left the chat.")
    # The names are free again.
    again = Client(options)
    think(options)
    again.send(b"amartya")
    hear(anuran, b"amartya has joined the chat.")
    done("chat")


if __name__ == "__main__":
    main()
