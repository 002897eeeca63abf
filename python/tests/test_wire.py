from __future__ import annotations

import struct
import sys

import pytest

from profguard import wire
from profguard.wire import Function, State

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="bytes of a little-endian machine")


@little_endian
def test_a_poll_is_that_of_libkineto_byte_for_byte() -> None:
    expected = b"\x18\0\0\0\0\0\0\0req" + bytes(29) + b"\x02\0\0\0\x02\0\0\0\x2a\0\0\0\0\0\0\0\x92\x10\0\0\x01\0\0\0"
    assert wire.encode_poll(42, [4242, 1]) == expected


def test_payloads_have_their_sizes() -> None:
    assert len(wire.encode_register(0, 1, 0)) == 40 + 16
    assert len(wire.encode_status(Function.TRACE, State.READY, 1, 2, 3, 4, 5)) == 40 + 32


@pytest.mark.parametrize("pids", [[], list(range(1, 300))])
def test_too_few_and_too_many_pids_are_refused(pids: list[int]) -> None:
    with pytest.raises(ValueError):
        wire.encode_poll(0, pids)


def test_replies() -> None:
    assert wire.decode_reply(wire.encode("ctxt", struct.pack("=i", 3))) == (3,)
    assert wire.decode_reply(wire.encode("req", b"A=1\n")) == "A=1\n"
    # Four bytes: a registration for msMonitor's process side, a config here.
    assert wire.decode_reply(wire.encode("req", b"A=1\n"[:4])) == "A=1\n"


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        bytes(39),
        struct.pack("=Q", 2**64 - 1) + b"req" + bytes(29),
        struct.pack("=Q", 0) + b"r" * 32,
        wire.encode("ctxt", b"123"),
        wire.encode("other", b""),
    ],
)
def test_hostile_replies_are_errors(datagram: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode_reply(datagram)
