"""The Range header: for every input the answer is a part of the blob, the whole, or a refusal; never an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarm.net.blobserve import RangeError, parse_range

SIZES = st.integers(1, 2**36)


@given(header=st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True), size=SIZES)
def test_any_header_gives_a_span_inside_the_blob_or_a_refusal(header: str, size: int) -> None:
    """No text makes a span that is empty or leaves the blob."""
    try:
        span = parse_range(header, size)
    except RangeError:
        return
    if span is not None:
        assert 0 <= span[0] < span[1] <= size


@given(data=st.data(), size=SIZES)
def test_first_and_last_byte_are_inclusive(data: st.DataObject, size: int) -> None:
    """`bytes=a-b` is b - a + 1 bytes from a, cut at the end of the blob."""
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, 2 * size))
    assert parse_range(f"bytes={first}-{last}", size) == (first, min(last + 1, size))
    assert parse_range(f"bytes={first}-", size) == (first, size)


@given(size=SIZES, count=st.integers(1, 2**37))
def test_a_suffix_counts_from_the_end(size: int, count: int) -> None:
    """`bytes=-n` is the last n bytes, or all of them."""
    assert parse_range(f"bytes=-{count}", size) == (max(0, size - count), size)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=5-4", "bytes=-0"])
def test_a_range_that_holds_nothing_is_refused(header: str) -> None:
    """Behind the end, backwards, or nothing at all: 416."""
    with pytest.raises(RangeError, match="outside"):
        parse_range(header, 10)


@pytest.mark.parametrize("header", [None, "", "bytes=-", "items=0-1", "bytes=0-1,3-4", "bytes=a-b", "0-1"])
def test_what_is_no_single_byte_range_means_the_whole(header: str | None) -> None:
    """HTTP lets a server ignore ranges that it does not support."""
    assert parse_range(header, 10) is None
