from __future__ import annotations

import pytest

from healing.launcher.streams import KEEP, Kept


def kept(*chunks):
    stream = Kept()
    for chunk in chunks:
        stream.add(chunk)
        assert len(stream.head) + len(stream.tail) <= KEEP
    return stream


def test_a_short_stream_is_kept_whole():
    assert kept(b"one ", b"two").text() == "one two"


def test_a_stream_of_exactly_the_bound_is_kept_whole():
    assert kept(b"a" * KEEP).text() == "a" * KEEP


@pytest.mark.parametrize("size", [1, 7, 4096, 65536, 10**6])
def test_head_and_tail_are_kept_and_the_gap_is_named(size):
    data = b"".join(b"%07d\n" % n for n in range(20_000))
    stream = kept(*(data[start : start + size] for start in range(0, len(data), size)))
    half = KEEP // 2
    assert stream.count == len(data)
    assert stream.text() == f"{data[:half].decode()}\n… {len(data) - KEEP:,} bytes left out …\n{data[-half:].decode()}"


def test_what_is_no_text_is_replaced():
    assert kept(b"\xff\x00ok").text() == "\ufffd\ufffdok"


@pytest.mark.parametrize("offset", range(1, 6))
def test_a_secret_that_the_gap_cuts_in_two_does_not_show(offset):
    half = KEEP // 2
    head = b"h" * (half - offset) + b"s3cret"
    tail = b"s3cret" + b"t" * (half - offset)
    shown = kept(head, b"x" * 1000, tail).text(["s3cret"])
    assert "s3" not in shown
    assert "et" not in shown.replace("bytes left", "")


def test_it_travels_as_json():
    stream = kept(b"\xff" * 100_000)
    assert Kept.from_json(stream.as_json()) == stream


def test_of_a_stream_that_goes_on_the_beginning_of_a_secret_is_left_for_the_next_look():
    stream = kept(b"key: s3c")
    assert stream.so_far(["s3cret"]) == "key: "
    stream.add(b"ret.")
    assert stream.so_far(["s3cret"]) == "key: ***."


def test_of_a_stream_that_goes_on_half_a_character_is_left_for_the_next_look():
    stream = kept("5 €".encode()[:-1])
    assert stream.so_far() == "5 "
    stream.add("€".encode()[-1:])
    assert stream.so_far() == stream.text() == "5 €"
