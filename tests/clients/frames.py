"""The framing of `encode` and `decode`: a 4-byte big-endian length and that many bytes."""

import struct

from old_client import Client, expect

TOO_LONG = "error: the message is over 64 KiB (65,536 bytes); no longer one is allowed"
NOT_TEXT = "error: the message is not UTF-8; only text is allowed"


def frame(text):
    """A frame as the old clients make it: they count characters."""
    return struct.pack(">i", len(text)) + text.encode()


class Frames(Client):
    """A connection that speaks in frames."""

    def ask_frame(self, request, wanted):
        """One frame, one frame, in one recv(1024)."""
        self.send(request)
        self.expect_frame(request, wanted)

    def expect_frame(self, request, wanted):
        """The next frame holds this."""
        reply = self.receive(f"reply to {request[:80]!r}")
        expect(
            f"reply to {request[:80]!r}",
            reply,
            struct.pack(">i", len(wanted.encode())) + wanted.encode(),
        )


def ends(options, request, reply):
    """All that ends a session, and only that one."""
    witness = Frames(options)
    witness.ask_frame(frame(request), reply)
    over = Frames(options)
    over.send(struct.pack(">i", 0))
    over.expect_closed("length 0")
    over = Frames(options)
    over.send(frame(request))
    expect("frame and end of input", over.rest(), struct.pack(">i", len(reply)) + reply.encode())
    for wrong, wanted in [
        (struct.pack(">i", 65_537), TOO_LONG),
        (struct.pack(">i", -1), TOO_LONG),
        # Three bytes, but two characters: the client is out of step.
        (frame("n\u00e9"), NOT_TEXT),
    ]:
        over = Frames(options)
        over.ask_frame(frame(request), reply)
        over.ask_frame(wrong, wanted)
        over.expect_closed(f"{wrong!r}")
    witness.ask_frame(frame(request), reply)
