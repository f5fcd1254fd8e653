"""The Python client of SWCI on the wire: what it sends, what it makes of answers, and of servers that misbehave.

The server here says what a test has it say; the client before a real SWCI is an integration test.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from support.certs import Authority
from support.swciserver import Scripted, client, server
from swarm.net.tls import TlsFiles
from swarmlearning import swci as module
from swarmlearning.swci import AsyncSwci, Swci, SwciError, swci
from swarmlearning.swci.answers import LINES_MAX
from swarmlearning.swci.transport import ANSWER_BYTES_MAX, KEEPALIVE_SECONDS, KEEPALIVE_TRIES, TASK_FILE_BYTES_MAX

NODES = [
    "NODE TYPE, HOST, PORT, CONTAINER, UUID, PARENT, ALIVE",
    "SENTINEL, 10.0.0.1, 30304, sn1, u1, , 2026-11-30 10:00:00",
    "SN, 10.0.0.2, 30304, sn2, u2, u1, 2026-11-30 10:00:00",
    "SWOP, 10.0.0.1, , swop1, u3, u1, 2026-11-30 10:00:00",
    "SL, 10.0.0.1, 30305, <sl&1>, u4, u1, 2026-11-30 10:00:00",
    "SL, 10.0.0.9, 30305, sl9, u5, gone, 2026-11-30 10:00:00",
]


@pytest.mark.row("X03")
def test_the_class_has_both_names() -> None:
    """``from swarmlearning.swci import swci`` and ``sw.Swci``."""
    assert swci is Swci is module.Swci


def test_it_needs_no_other_package() -> None:
    """A program's image has what its training needs, and often nothing else."""
    used = set()
    for file in Path(module.__file__ or "").parent.glob("*.py"):
        for line in file.read_text().splitlines():
            word = line.strip().split(" ")
            if word[0] in ("import", "from") and not word[1].startswith("."):
                used.add(word[1].split(".")[0])
    assert used - set(sys.stdlib_module_names) == {"IPython"}  # in a notebook, which brings it


def test_each_method_sends_its_command() -> None:
    """Letter for letter what the original's client sends (row R10), and ours beside them."""
    with client(["fine"]) as one:
        one.createContext("c", "10.0.0.1")
        one.createContext("c", service="api.sn:30304")
        one.switchContext("c")
        one.listNodes()
        one.ls()
        one.ls("-l taskdefs")
        one.pwd()
        one.cd("taskdefs")
        one.sleep(3)
        one.createTrainingContract("job")
        one.resetTrainingContract()
        one.perfdata("job")
        one.assignTask("t", "r", 4)
        one.assignTask("t", "r", "all")
        one.assignTaskToTarget("t", "r", "0xab")
        one.resetTaskRunner()
        one.resetTaskRunner("r", force=True)
        one.getTaskRunnerPeerStatus("r", 0)
        one.createTaskFrom("f.yaml")
        one.finalizeTask("t")
        one.deleteTask("t")
        assert Scripted.asked == [
            "create context c with ip 10.0.0.1 30304",
            "create context c with service api.sn:30304",
            "switch context c",
            "list Nodes",
            "ls",
            "ls -l taskdefs",
            "pwd",
            "cd taskdefs",
            "sleep 3",
            "create contract job",
            "reset contract defaultbb.cqdb.sml.hpe",
            "perfdata job",
            "assign task t to r with 4 peers",
            "assign task t to r with all peers",
            "assign task t to r target 0xab",
            "reset taskrunner defaulttaskbb.taskdb.sml.hpe",
            "reset taskrunner r force",
            "get taskrunner peer status r 0",
            "create task from f.yaml",
            "finalize task t",
            "delete task t",
        ]


def test_lines_come_without_blanks_and_a_new_error_replaces_the_old() -> None:
    """Rows R01, R02: an item of many lines; one that begins with the word is the error, a blank before hides it."""
    answers: dict[str, Any] = {
        "pwd": ["    Current Directory : /usr\n    second line\n", " ERROR that is none"],
        "ls": ["    half", "ERROR no such folder: x", "never read"],
    }
    with client(lambda command: answers[command]) as one:
        assert one.pwd() == ["Current Directory : /usr", "second line", "ERROR that is none"]
        assert one.pwd().as_dict() == {"Current Directory": "/usr"}
        assert one.getErrors() is None
        assert one.ls() == []
        assert one.getErrors() == "ERROR no such folder: x"
        one.pwd()
        assert one.getErrors() is None


@pytest.mark.parametrize("content", [[], [""], ["", "  \n "]])
def test_no_line_at_all_is_a_failure(content: list[str]) -> None:
    """Row R03."""
    with client(content) as one:
        assert one.listTasks() == []
        assert "did not produce output" in (one.getErrors() or "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"<html>a proxy", "no JSON"),
        (b'{"CONTENT": "text"}', "no CONTENT"),
        (b'{"CONTENT": [1]}', "no CONTENT"),
        (b"[1]", "no CONTENT"),
        (403, "answered 403"),
        (b" " * (ANSWER_BYTES_MAX + 1), "more than"),
        (["\n" * (LINES_MAX + 1)], "lines"),
    ],
)
def test_what_is_no_answer_is_said_and_never_raised(answer: Any, told: str) -> None:
    """Unless the program asked for exceptions."""
    with client(answer) as one:
        assert one.listTasks() == []
        assert told in (one.getErrors() or "")
    with client(answer, raiseErrors=True) as one, pytest.raises(SwciError, match=told):
        one.listTasks()


def test_a_server_that_is_not_there_is_named() -> None:
    """The address stands in the error."""
    with server([""]) as port:
        pass
    one = Swci("127.0.0.1", port, logger=logging.getLogger("test"))
    assert one.pwd() == []
    assert f"http://127.0.0.1:{port}" in (one.getErrors() or "")


def test_a_line_that_died_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command may take for ever, a peer that is gone may not: the system probes the line."""
    seen = []
    asked = http.client.HTTPConnection.request

    def request(line: http.client.HTTPConnection, *given: Any) -> None:
        seen.append([line.sock.getsockopt(socket.IPPROTO_TCP, o) for o in (socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT)])
        assert line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        asked(line, *given)

    monkeypatch.setattr(http.client.HTTPConnection, "request", request)
    with client(["fine"]) as one:
        assert one.pwd() == ["fine"]
    assert seen == [[KEEPALIVE_SECONDS, KEEPALIVE_TRIES]]


@pytest.mark.parametrize("text", ["a\nEXIT", "a\r\nls", "\x00", "", "   ", "\x1b[2J"])
def test_no_argument_begins_another_command(text: str) -> None:
    """A name with a line end never leaves this process."""
    with client(["fine"]) as one:
        for call in (one.createTrainingContract, one.deleteTask, one.getTaskInfo, one.cd, one.execute):
            with pytest.raises(SwciError):
                call(text)
        assert Scripted.asked == []


def test_names_of_any_letters_arrive_as_they_are() -> None:
    """Percent, plus, ampersand and letters beyond ASCII are no part of the address."""
    with client(["fine"]) as one:
        one.getTaskInfo("a%20b+c&cmd=exit#é")
        assert Scripted.asked == ["get task info a%20b+c&cmd=exit#é"]


@pytest.mark.row("R12")
def test_what_another_operator_changed_is_seen() -> None:
    """Each answer is asked for anew, also those that the original's client keeps, whoever made it another one."""
    told = ["one : 1"]
    with client(lambda command: told) as one:
        asks = [
            one.listTasks,
            one.listContexts,
            one.listTrainingContracts,
            one.listTaskRunners,
            lambda: one.getTaskInfo("t"),
            lambda: one.getTaskBody("t"),
            lambda: one.getContextInfo("c"),
            lambda: one.getTrainingContractInfo("j"),
            lambda: one.getTaskRunnerInfo("r"),
        ]
        assert [ask() for ask in asks] == [["one : 1"]] * 9
        told[0] = "one : 2"
        assert [ask() for ask in asks] == [["one : 2"]] * 9
        one.clearCache()
    with client(["x"], enableCaching=False) as one:
        assert one.listTasks() == ["x"]


def test_one_shell_s_state_goes_with_the_client() -> None:
    """The server's cookie comes back with each later call."""
    with client(["x"]) as one:
        one.pwd()
        one.pwd()
        assert Scripted.cookies == [None, "shell=one"]


def test_register_task_makes_and_finalises() -> None:
    """The name is what stands behind the first colon of the line with the words."""
    made = ["    Task definition is valid\n    Task Registered : build-1 ", "    Appending Task Body"]
    with client(lambda c: made if c.startswith("create") else ["    Task Finalized"]) as one:
        assert one.registerTask("f.yaml") == ["Registered Task : build-1"]
        assert Scripted.asked == ["create task from f.yaml", "finalize task build-1"]
        assert one.registerTask("f.yaml", finalize=False)[1] == "Task Registered : build-1"
    with client(["ERROR line 3: Name is missing"]) as one:
        assert one.registerTask("f.yaml") == []
        assert one.getErrors() == "ERROR line 3: Name is missing"


@pytest.mark.parametrize(
    ("state", "done"), [("COMPLETE", True), ("ERROR", True), ("IDLE", True), ("RUNNING", False), ("ASSIGNED", False)]
)
def test_is_task_done_reads_the_state_line(state: str, done: bool) -> None:
    """Between the first and the second colon, whatever comes after."""
    with client([f"    TASK NAME : t\n    TASK_STATE : {state} : since 10:00\n"]) as one:
        assert one.isTaskDone("r") is done
    with client(["ERROR unknown runner"]) as one, pytest.raises(RuntimeError, match="unknown runner"):
        one.isTaskDone("r")


def test_the_topology_is_a_picture(tmp_path: Path) -> None:
    """Each node below its SN; one whose SN is gone stands by itself; names are text, never markup."""
    with client(["\n".join(NODES)]) as one:
        picture = one.plotTopology(SLColor='#111"onload="x', attrs=["ContainerName", "HostIP"])
    assert picture is not None
    assert [(box.row, box.parent) for box in picture.boxes] == [(0, -1), (0, -1), (1, 0), (1, 0), (1, -1)]
    assert picture.boxes[0].lines == ("SN *", "10.0.0.1", "sn1")
    text = picture._repr_svg_()
    assert "&lt;sl&amp;1&gt;" in text
    assert '"onload="' not in text
    picture.save(tmp_path / "swarm.svg")
    assert (tmp_path / "swarm.svg").read_text() == text
    with client(["ERROR down"]) as one:
        assert one.plotTopology() is None
    with client(["header\n    SL, too, few"]) as one, pytest.raises(SwciError, match="3 fields"):
        one.plotTopology()


def test_a_task_file_is_uploaded_whole(tmp_path: Path) -> None:
    """As one part named ``file``, under its own name; the answer's text comes back."""
    file = tmp_path / 'odd "name".yaml'
    file.write_bytes(b"Name: \xc3\xa9\r\n--x\r\n")
    with client(["x"]) as one:
        assert one.uploadTaskDefintion(file) == "saved"
        (body,) = Scripted.uploads
        assert b'name="file"; filename="odd _name_.yaml"' in body
        assert b"\r\n\r\nName: \xc3\xa9\r\n--x\r\n\r\n--" in body
        with pytest.raises(RuntimeError, match="not found"):
            one.uploadTaskDefintion(tmp_path / "none.yaml")
        big = tmp_path / "big.yaml"
        big.write_bytes(b" " * (TASK_FILE_BYTES_MAX + 1))
        with pytest.raises(RuntimeError, match="at most"):
            one.uploadTaskDefinition(str(big))


def test_a_client_that_cannot_work_says_so_when_it_is_made() -> None:
    """As in the original: RuntimeError."""
    for given in ({"swciIp": None}, {"swciIp": "h", "port": "30306"}, {"swciIp": "h", "port": 0}):
        with pytest.raises(RuntimeError):
            Swci(**given)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="mandatory"):
        Swci("h").createContext("c")
    with pytest.raises(RuntimeError, match="cannot be used"):
        Swci("h", clientCert="/no/such.pem")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> tuple[TlsFiles, TlsFiles, Path]:
    """A server's files, a client's, and the folder of another CA."""
    folder = tmp_path_factory.mktemp("pki")
    ours, other = Authority("ours"), Authority("other")
    strangers = folder / "strangers"
    strangers.mkdir()
    other.write(strangers / "any-name.pem")
    return ours.node(folder, "swci"), ours.node(folder, "operator"), strangers


def context_of(files: TlsFiles) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.cert, files.key)
    made.load_verify_locations(files.cacert)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def test_mutual_tls(pki: tuple[TlsFiles, TlsFiles, Path], caplog: pytest.LogCaptureFixture) -> None:
    """The client shows its certificate; the server's is looked at where the program gives the CA."""
    theirs, mine, strangers = pki
    log = logging.getLogger("tls")
    with server(["fine"], context_of(theirs)) as port:
        for ca in (mine.cacert, mine.cacert.parent if mine.cacert else None):
            one = Swci("127.0.0.1", port, mine.cert, mine.key, ca, log)
            assert one.pwd() == ["fine"], one.getErrors()
        assert "not looked at" not in caplog.text
        assert Swci("127.0.0.1", port, mine.cert, mine.key, logger=log).pwd() == ["fine"]
        assert "not looked at" in caplog.text
        wrong = Swci("127.0.0.1", port, mine.cert, mine.key, strangers, log)
        assert wrong.pwd() == []
        assert "no TLS connection" in (wrong.getErrors() or "")
        assert Swci("127.0.0.1", port, logger=log).pwd() == []  # without a certificate: plain HTTP, which is refused


def test_the_twin_for_asyncio_has_every_method() -> None:
    """Awaited, with the same answers; the loop goes on meanwhile."""
    public = {name for name in vars(Swci) if not name.startswith("_")}
    assert public <= set(dir(AsyncSwci))

    async def work(port: int) -> None:
        one: Any = AsyncSwci("127.0.0.1", port, logger=logging.getLogger("test"))
        both = await asyncio.gather(one.listTasks(), one.pwd())
        assert both == [["fine"], ["fine"]]
        with pytest.raises(SwciError):
            await one.getTaskInfo("a\nb")

    with server(["fine"]) as port:
        asyncio.run(work(port))
