#!/usr/bin/env python3
"""A client of the dialect `text`. Usage: text_client.py HOST:PORT [--wait 5] [--policy managers]

The server has the account `adam`, a manager, with the password `bill`.
"""

from old_client import Client, arguments, done, expect, think


def two_people(options):
    """The documented session, and another client whose store a manager reads."""
    other, client = Client(options), Client(options)
    think(options)
    theirs, mine = other.name.encode(), client.name.encode()
    other.ask(b"put city Kolkata", b"Successfully set city as Kolkata")
    for request, reply in [
        (b"get city", b"<blank>"),
        (b"put city Delhi", b"Successfully set city as Delhi"),
        (b"get city", b"Delhi"),
        (b"bad command", b"Illegal command"),
        (b"get", b"Illegal command"),
        (b"get city twice", b"Illegal command"),
        (b"GET city", b"Illegal command"),
        (b"   ", b"Illegal command"),
        (b"put city New Delhi", b"Illegal command"),
        (b"put city Pune get", b"Illegal command"),
        (b" get\t city ", b"Delhi"),
        (b"put a 1 get a get b", b"Successfully set a as 1\n1\n<blank>"),
        (b"get " + b"k" * 1025, b"Error: key has 1025 bytes; at most 1,024 are allowed"),
        (b"get \xff", b"Error: the message is not UTF-8; only text is allowed"),
        # Another's store: a guest hears the same whether there is such a user or not.
        (b"manage " + theirs + b" get city", b"Access denied"),
        (b"manage " + theirs + b" put city Mumbai", b"Access denied"),
        (b"manage 9 get city", b"Access denied"),
        (b"auth adam wrong", b"Authentication failure"),
        (b"auth nobody bill", b"Authentication failure"),
        (b"manage " + theirs + b" get city", b"Access denied"),
        (b"auth adam bill", b"Authentication success"),
        (b"manage " + theirs + b" get city", b"Kolkata"),
        (b"manage " + theirs + b" put city Mumbai", b"Successfully set city as Mumbai"),
        (b"manage " + theirs + b" get city", b"Mumbai"),
        (b"manage " + theirs + b" get country", b"<blank>"),
        (b"manage 9 get city", b"No such client"),
        (b"manage 9 put city Pune", b"No such client"),
        # The words of the command line.
        (b"whoami", mine + b" (manager)"),
        (b"keys", b"a\ncity"),
        (b"delete a", b"deleted"),
        (b"delete a", b"<blank>"),
        (b"getother " + theirs + b" city", b"Mumbai"),
        (b"putother " + theirs + b" city Pune", b"Successfully set city as Pune"),
        # Once a line has ended in a newline, all have to.
        (b"get city\n", b"Delhi\n"),
        (b"get city\r\n", b"Delhi\n"),
    ]:
        client.ask(request, reply)
    other.ask(b"get city", b"Pune")
    other.ask(b"whoami", theirs + b" (guest)")
    if options.policy == "open":
        other.ask(b"upgrade", theirs + b" (manager)")
        other.ask(b"manage " + mine + b" get city", b"Delhi")
        # Who made itself a manager reads, and no more.
        other.ask(b"manage " + mine + b" put city Pune", b"Access denied")
    else:
        refused = (
            b"Error: this server lets only managers promote; ask one, or sign in with an account"
        )
        other.ask(b"upgrade", refused)
        other.ask(b"manage " + mine + b" get city", b"Access denied")
    other.close()
    client.close()


def lines(options):
    """What a pipe into nc sends: several lines at once, the last one perhaps without an end."""
    client = Client(options)
    think(options)
    client.send(b"put a 1\nget a\nget b\nget a")
    expect("replies to lines", client.rest(), b"Successfully set a as 1\n1\n<blank>\n1")


def browser(options):
    """A web page's request closes the connection, and nothing of it runs."""
    client = Client(options)
    think(options)
    client.ask(b"put a 1\n", b"Successfully set a as 1\n")
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nget a\n")
    client.expect_closed("an HTTP request")


def main():
    """All of them."""
    options = arguments(__doc__)
    two_people(options)
    lines(options)
    browser(options)
    done("text")


if __name__ == "__main__":
    main()
