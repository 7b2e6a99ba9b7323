"""Questions of a UDP scan: well-formed, small, and empty where nothing is known."""

import struct

from aionet.client.payloads import PAYLOADS, payload_for


def test_dns_asks_one_question_about_the_root() -> None:
    _, flags, questions, *rest = struct.unpack_from("!6H", PAYLOADS[53])
    assert (flags, questions, rest) == (0x0100, 1, [0, 0, 0])
    assert PAYLOADS[53][12:] == b"\x00" + struct.pack("!HH", 2, 1)


def test_ntp_snmp_and_stun_announce_their_own_length() -> None:
    assert len(PAYLOADS[123]) == 48
    assert PAYLOADS[161][1] == len(PAYLOADS[161]) - 2
    assert len(PAYLOADS[3478]) == 20 + struct.unpack_from("!H", PAYLOADS[3478], 2)[0]


def test_elsewhere_nothing_is_said_and_nowhere_much() -> None:
    assert payload_for(7) == b""
    assert all(len(payload) <= 64 for payload in PAYLOADS.values())
