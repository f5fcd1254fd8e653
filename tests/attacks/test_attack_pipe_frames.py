"""A hostile or broken training program on the pipe: refused by name, nothing allocated, nothing followed."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_shell import Place, bridge_at
from support.original_client import OriginalClient, SlError, header, number, pack_weights, text, varint
from swarm.core.engine.messages import Left
from swarm.core.errors import ProgramFault
from swarm.sl.bridge import forms, inline
from swarm.sl.bridge.bridge import left_of
from swarmlearning.client.pipe import messages

MODEL = {"w": np.ones(3, np.float32)}


def resident_bytes() -> int:
    """Memory of this process, from the kernel."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def refused(place: Place, form: str, attack: Any) -> str:
    """Run an attack after an open session; returns what the SL answered."""
    client = OriginalClient(form, *place.args)

    def program() -> None:
        client.open_pipes()
        client.open_session()
        attack(client)
        client.request.flush()
        client.receive()

    try:
        with pytest.raises(SlError) as caught:
            await asyncio.to_thread(program)
    finally:
        client.close_pipes()
    await place.shell.wait_ended()
    assert place.shell.syncs == []
    assert place.shell.endings[0]
    return str(caught.value)


@pytest.mark.row("F04")
@pytest.mark.parametrize("size", [2**31, 2**32 - 1])
async def test_a_frame_of_gigabytes_is_refused_before_allocation(tmp_path: Path, size: int) -> None:
    """A claim above the bound is refused from the header alone: memory stays flat."""
    async with bridge_at(tmp_path) as place:
        before = resident_bytes()
        said = await refused(place, "inline", lambda c: c.request.write(header(6, size)))
        assert f"claims {size} bytes" in said
        assert resident_bytes() - before < 32 * 1024 * 1024


async def test_a_frame_that_claims_2_gib_and_sends_little_costs_little(tmp_path: Path) -> None:
    """Within the inline bound only what arrives is stored; when the program dies its spool is removed."""
    async with bridge_at(tmp_path) as place:
        client = OriginalClient("inline", *place.args)
        before = resident_bytes()

        def program() -> None:
            client.open_pipes()
            client.open_session()
            client.request.write(header(6, 2**31 - 1) + bytes(100_000))
            client.close_pipes()

        await asyncio.to_thread(program)
        await place.shell.wait_ended()
        assert resident_bytes() - before < 32 * 1024 * 1024
        assert list(place.work.glob("*.spool")) == []


@pytest.mark.parametrize("kind", [2, 9, 10])
async def test_messages_without_weights_have_64_kib(tmp_path: Path, kind: int) -> None:
    """Only a sync may be large."""
    async with bridge_at(tmp_path) as place:
        said = await refused(place, "inline", lambda c: c.request.write(header(kind, 65537)))
        assert "claims 65537 bytes, allowed are 1 to 65536" in said


@pytest.mark.row("D25")
@pytest.mark.row("F12")
@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "merged_weights.safetensors",
        "trained_weights.pkl/../x",
        "trained_weights.pkl\x00",
        "TRAINED_WEIGHTS.PKL",
        "",
        "w" * 5000,
    ],
)
async def test_only_fixed_file_names_are_read(tmp_path: Path, name: str) -> None:
    """A path from the program is never used; short ones are quoted back, with the accepted ones."""
    async with bridge_at(tmp_path) as place:

        def attack(client: OriginalClient) -> None:
            client.send(6, text(1, client.session) + number(2, 1) + number(3, 1) + text(5, name))

        said = await refused(place, "inline", attack)
        assert "refused" in said or "names the file" in said or "the program sent" in said
        if 0 < len(name) < 60:
            assert ascii(name.encode())[2:20] in said
            assert "trained_weights.safetensors" in said


@pytest.mark.row("F12")
@pytest.mark.parametrize("form", ["pickle", "tensors"])
@pytest.mark.parametrize("trap", ["link", "pipe", "folder", "missing"])
async def test_links_pipes_and_folders_are_not_followed(tmp_path: Path, form: str, trap: str) -> None:
    """Under the fixed name there must be a plain file; a link to a secret is not read, a pipe blocks nobody."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    async with bridge_at(tmp_path) as place:

        def attack(client: OriginalClient) -> None:
            body = client.sync_body(6, MODEL)
            name = "trained_weights.pkl" if form == "pickle" else "trained_weights.safetensors"
            path = place.exchange / name
            path.unlink()
            if trap == "link":
                path.symlink_to(secret)
            elif trap == "pipe":
                os.mkfifo(path)
            elif trap == "folder":
                path.mkdir()
            client.send(6, body)

        said = await refused(place, form, attack)
        assert "is not a plain file" in said or "is not in" in said
        assert secret.read_bytes() == b"key"


async def test_the_merged_model_is_not_written_through_a_link(tmp_path: Path) -> None:
    """A program that puts a link in the merged file's place cannot make the SL overwrite another file."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    async with bridge_at(tmp_path) as place:
        (place.exchange / "merged_weights.pkl").unlink()
        (place.exchange / "merged_weights.pkl").symlink_to(victim)
        (place.exchange / "merged_weights.safetensors").symlink_to(victim)
        client = OriginalClient("pickle", *place.args)

        def program() -> None:
            client.open_pipes()
            client.open_session()
            client.sync(MODEL)

        with pytest.raises(SlError, match="no merged model can be written"):
            await asyncio.to_thread(program)
        client.close_pipes()
        await place.shell.wait_ended()
        ours = OriginalClient("tensors", *place.args)

        def second() -> None:
            ours.open_pipes()
            ours.open_session()
            ours.sync(MODEL)
            ours.close_pipes()

        await asyncio.to_thread(second)
        assert victim.read_bytes() == b"precious"


BROKEN: list[tuple[str, bytes, str]] = [
    ("huge tensor", text(1, b"w") + text(2, text(1, b"dtype('float32')") + text(2, varint(2**32 - 1) * 4)), "needs"),
    ("object", text(1, b"w") + text(2, text(1, b"dtype('O')")), "no plain number type"),
    ("code", text(1, b"w") + text(2, text(1, b"__import__('os').system('id')")), "no plain number type"),
    ("structured", text(1, b"w") + text(2, text(1, b"dtype([('a', '<f4')])")), "no plain number type"),
    ("short", text(1, b"w") + text(2, text(1, b"dtype('float32')") + text(2, b"\x02") + text(3, b"abc")), "needs 8"),
    ("dims", text(1, b"w") + text(2, text(1, b"dtype('float32')") + text(2, b"\x01" * 40)), "impossible shape"),
    ("no name", text(2, text(1, b"dtype('float32')")), "missing"),
    ("long name", text(1, b"w" * 600) + text(2, b""), "600 bytes"),
]


@pytest.mark.row("F11")
@pytest.mark.parametrize(("entry", "said"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_broken_inline_weights_are_named(entry: bytes, said: str) -> None:
    """The dtype text is matched, never evaluated; sizes are compared before anything is built."""
    with pytest.raises(ProgramFault, match=said):
        inline.read_weights(memoryview(text(1, entry)))


def test_an_inline_tensor_named_twice_is_refused() -> None:
    """Two entries of one name could show different models to different readers."""
    raw = pack_weights(MODEL)
    with pytest.raises(ProgramFault, match="twice"):
        inline.read_weights(memoryview(raw + raw))


def test_millions_of_tiny_fields_are_bounded() -> None:
    """A message of a million empty fields ends at the bound, in bounded time."""
    started = time.process_time()
    with pytest.raises(ProgramFault, match="more than"):
        for _ in inline.fields(memoryview(b"\x0a\x00" * 1_000_000)):
            pass
    assert time.process_time() - started < 5


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_random_inline_bytes_raise_only_the_named_error(raw: bytes) -> None:
    """Whatever stands in the field: arrays, or ProgramFault."""
    try:
        found = inline.read_weights(memoryview(raw))
    except ProgramFault:
        return
    assert sum(array.nbytes for array in found.values()) <= len(raw)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_a_flipped_byte_in_inline_weights(data: st.DataObject) -> None:
    """One changed byte: arrays within the message, or ProgramFault."""
    raw = bytearray(pack_weights({"a": np.arange(4.0), "b": np.array(2, np.int8)}))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = inline.read_weights(memoryview(bytes(raw)))
    except ProgramFault:
        return
    assert sum(array.nbytes for array in found.values()) <= len(raw)


async def test_a_program_that_keeps_sending_garbage_does_not_spin_the_sl(tmp_path: Path) -> None:
    """Each failed conversation is followed by a pause: a few warnings, not thousands."""
    async with bridge_at(tmp_path) as place:

        def spam() -> None:
            read_end = os.open(place.response, os.O_RDONLY | os.O_NONBLOCK)
            until = time.monotonic() + 1.2
            write_end = -1
            while time.monotonic() < until:
                try:
                    if write_end < 0:
                        write_end = os.open(place.request, os.O_WRONLY | os.O_NONBLOCK)
                    os.write(write_end, b"\xff" * 4096)
                except OSError:
                    time.sleep(0.005)
            if write_end >= 0:
                os.close(write_end)
            os.close(read_end)

        await asyncio.to_thread(spam)
        failures = [line for line in place.log.lines if line[0] == "session_failed"]
        assert 1 <= len(failures) <= 4
        assert "no message header" in failures[0][1]["reason"]


def test_the_form_is_told_by_exact_bytes() -> None:
    """Only the two fixed names are names; everything else is looked at as weights."""
    assert forms.recognise(b"trained_weights.safetensors") is forms.Form.TENSORS
    assert forms.recognise(b"trained_weights.pkl") is forms.Form.PICKLE
    for other in (b"trained_weights.pkl ", b"./trained_weights.pkl", pack_weights(MODEL), b"", struct.pack("<I", 1)):
        assert forms.recognise(other) is forms.Form.INLINE


@pytest.mark.parametrize(
    ("code", "exception", "left"),
    [
        (3, "ValueError", Left(3, "ValueError")),
        (0, "", Left()),
        (-1, "ValueError", Left()),
        (256, "", Left()),
        (2**31 - 1, "E", Left()),
        (1, "a path /home/me of the site", Left()),
        (1, "E" * 65, Left()),
        (1, "E\n", Left()),
        (1, "\u00c9", Left()),
    ],
)
def test_what_a_program_says_of_its_end_is_bounded_before_others_hear_it(code: int, exception: str, left: Left) -> None:
    """Only an exit code and the name of a class leave the site; a program that says anything else left unknown."""
    said = messages.KillSessionRequest(sessionID="s", exitCode=code, exception=exception)
    assert left_of(said) == left
