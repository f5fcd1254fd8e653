"""REST on 30306: a real SWCI in WEB mode behind mutual TLS, driven by plain requests and by the Python client."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support import patience, swci, warm
from support.certs import Authority
from support.chains import free_port
from support.snprocess import running_sn
from support.swci import BUILD
from support.swop import swop
from swarm.net.tls import TlsFiles
from swarmlearning.swci import Swci

JOB = "defaultbb.cqdb.sml.hpe"


@dataclass
class Rest:
    """A SWCI in WEB mode, and certificates to call it with."""

    here: swci.Operator
    ca: Authority
    port: int
    viewer: TlsFiles
    stranger: TlsFiles

    def get(self, path: str, files: TlsFiles | None = None, **headers: str) -> tuple[int, Any]:
        line = self.line(files)
        line.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = line.getresponse()
        data = answer.read()
        line.close()
        return answer.status, json.loads(data)

    def get_status(self, path: str, files: TlsFiles) -> int:
        """Of an answer whose body is not waited for."""
        line = self.line(files)
        line.request("GET", path)
        status = line.getresponse().status
        line.close()
        return status

    def line(self, files: TlsFiles | None = None) -> http.client.HTTPSConnection:
        files = files or self.here.files
        context = ssl.create_default_context(cafile=str(files.cacert))
        context.check_hostname = False
        context.load_cert_chain(str(files.cert), str(files.key))
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=patience.seconds(60))

    def call(
        self,
        path: str,
        files: TlsFiles | None = None,
        cookie: str = "",
        body: bytes = b"",
        kind: str = "",
        origin: str = "",
    ) -> tuple[http.client.HTTPResponse, bytes]:
        files = files or self.here.files
        context = ssl.create_default_context(cafile=str(files.cacert))
        context.check_hostname = False
        context.load_cert_chain(str(files.cert), str(files.key))
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=patience.seconds(60))
        headers = {
            name: value for name, value in (("Cookie", cookie), ("Content-Type", kind), ("Origin", origin)) if value
        }
        line.request("POST", path, body, headers)
        answer = line.getresponse()
        data = answer.read()
        line.close()
        return answer, data

    def lines(self, command: str, files: TlsFiles | None = None, cookie: str = "") -> list[str]:
        answer, data = self.call("/exec?cmd=" + quote(command, safe=""), files, cookie)
        assert answer.status == 200, data
        found: dict[str, Any] = json.loads(data)
        assert set(found) == {"CONTENT"}
        return list(found["CONTENT"])

    def upload(self, name: str, data: bytes, files: TlsFiles | None = None) -> str:
        head = f'--B\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + data + b"\r\n--B--\r\n"
        answer, text = self.call("/uploadTaskDef", files, body=body, kind="multipart/form-data; boundary=B")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return text.decode()


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    ca = Authority()
    folder = tmp_path_factory.mktemp("rest")
    with running_sn(tmp_path_factory.mktemp("sn"), ca) as sn:
        here = swci.operator(folder, sn, ca)
        viewer = ca.node(folder / "certs", "look-1", uri="spiffe://test/elsewhere/swci/look-1")
        stranger = ca.node(folder / "certs", "who-1", uri="spiffe://test/elsewhere/sl/who-1")
        (here.usr / "init").write_text("\n".join(here.enter()))
        port, log = free_port(), folder / "swci.log"
        log.touch()
        environ = here.environ(SWCI_WEB_VIEWERS="spiffe://test/elsewhere/swci/look-1, other")
        environ |= {"SWCI_MODE": "WEB", "SWCI_WEB_PORT": str(port), "SWCI_STARTUP_SCRIPT": "init"}
        process = warm.start(here.argv("--listen", "127.0.0.1"), environ, log)
        try:
            until = time.monotonic() + patience.seconds(60)
            while "SWCI serves REST" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            yield Rest(here, ca, port, viewer, stranger)
        finally:
            process.terminate()
            code = process.wait(timeout=patience.seconds(30))
            print(log.read_text())
        assert code == 0


@pytest.mark.row("E11a")
@pytest.mark.row("R01")
@pytest.mark.row("R02")
@pytest.mark.row("R03")
def test_a_command_is_answered_with_lines(rest: Rest) -> None:
    """CONTENT is a list of texts, never empty; a failure begins with ERROR at column 0, a name does not."""
    assert rest.lines("list contracts") == [JOB]
    assert rest.lines("LIST CONTRACT")[0].startswith("ERROR after LIST comes")
    assert rest.lines("# a comment") == ["# a comment"]
    assert all(rest.lines(""))
    assert rest.lines('CREATE CONTRACT "ERROR x"') == ["Contract Created : ERROR x"]
    assert " ERROR x" in rest.lines("LIST CONTRACTS")
    assert rest.lines("SLEEP 1") == ["Completed SLEEP for: 1 secs"]
    assert rest.lines("pwd\nEXIT")[0].startswith("ERROR a request holds one command")
    assert rest.lines("x" * 5000)[0].startswith("ERROR the line has 5000 characters")


@pytest.mark.row("R04")
def test_a_task_file_is_handed_over_into_the_folder(rest: Rest) -> None:
    """As it is, under its own name; again: replaced, and said; a name that leads elsewhere, or too much, is refused."""
    data = b"Name: a\r\n\xff\n"
    assert rest.upload("task.yaml", data) == f"task.yaml is uploaded, {len(data)} bytes"
    assert (rest.here.usr / "task.yaml").read_bytes() == data
    assert rest.upload("task.yaml", b"x") == "task.yaml is uploaded, 1 bytes; the one before is replaced"
    (rest.here.usr / "link").symlink_to(rest.here.state)
    for name in ("../x", "/etc/x", "..", ".hidden", "a/b", "a\\b", "link", "n" * 161):
        assert rest.upload(name, b"x").startswith("ERROR "), name
    _, text = rest.call("/uploadTaskDef", body=b"no form", kind="multipart/form-data; boundary=B")
    assert text.startswith(b"ERROR ")
    answer, _ = rest.call("/uploadTaskDef", body=b"x" * (2 << 20), kind="application/octet-stream")
    assert answer.status == 413
    assert not any(one.name.endswith(".upload") for one in rest.here.usr.iterdir())
    assert rest.lines("ls")[-1] == "task.yaml"


def test_callers_are_let_in_by_name(rest: Rest) -> None:
    """A viewer looks and changes nothing; anybody else is told the name of the certificate and the setting."""
    assert rest.lines("LIST CONTRACTS", rest.viewer)[0]
    refused = rest.lines("CREATE CONTRACT mine", rest.viewer)
    assert refused == [
        "ERROR CREATE CONTRACT is for operators, and 'spiffe://test/elsewhere/swci/look-1' is a viewer here: "
        "add that name to SWCI_WEB_OPERATORS"
    ]
    assert "is a viewer here" in rest.upload("task.yaml", b"y", rest.viewer)
    assert rest.lines("LOGS sn-1", rest.viewer)[0].startswith("ERROR LOGS is for operators")
    stranger = rest.lines("LIST CONTRACTS", rest.stranger)
    assert stranger == [
        "ERROR the certificate 'spiffe://test/elsewhere/sl/who-1' may not use this SWCI: "
        "add that name to SWCI_WEB_VIEWERS or SWCI_WEB_OPERATORS"
    ]
    assert rest.upload("x.yaml", b"y", rest.stranger).startswith("ERROR the certificate")
    other = Authority("another CA").node(rest.here.folder / "other", "ci-9", uri="spiffe://test/operators/swci/ci-9")
    files = TlsFiles(other.cert, other.key, rest.here.files.cacert, None)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        rest.call("/exec?cmd=pwd", files)


def test_a_page_of_somebody_else_cannot_use_a_browsers_certificate(rest: Rest) -> None:
    """A call that a browser makes for a page of another origin is refused; SWCI's own origin is not."""
    answer, text = rest.call("/exec?cmd=pwd", origin="https://evil.example")
    assert answer.status == 403
    assert b"https://evil.example" in text
    assert rest.call("/uploadTaskDef", origin="null")[0].status == 403
    assert rest.call("/exec?cmd=pwd", origin=f"https://127.0.0.1:{rest.port}")[0].status == 200


@pytest.mark.row("D14")
def test_each_client_has_a_shell_of_its_own(rest: Rest) -> None:
    """By certificate, by cookie where one is asked for; EXIT ends that one only, a long call holds up no other."""
    (rest.here.usr / "inner").mkdir(exist_ok=True)
    answer, _ = rest.call("/exec?cmd=cd%20inner", cookie="swci=new")
    own = answer.headers["set-cookie"].split(";")[0]
    assert {"secure", "httponly"} <= {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert rest.lines("pwd", cookie=own) == [f"Current Directory : {rest.here.usr}/inner"]
    assert rest.lines("pwd") == [f"Current Directory : {rest.here.usr}"]
    assert rest.lines("pwd", rest.viewer, cookie=own) == [f"Current Directory : {rest.here.usr}"]
    slow = threading.Thread(target=rest.lines, args=("SLEEP 3", None, own))
    slow.start()
    began = time.monotonic()
    assert rest.lines("pwd")
    assert time.monotonic() - began < 2.5 * patience.crowd()
    slow.join()
    assert rest.lines("EXIT", cookie=own) == ["EXITING"]
    assert rest.lines("pwd", cookie=own) == [f"Current Directory : {rest.here.usr}"]


def test_a_wait_ends_with_its_client(rest: Rest) -> None:
    """Nobody is left to hear of it: the shell is free for the next command at once."""
    cookie = rest.call("/exec?cmd=pwd", cookie="swci=new")[0].headers["set-cookie"].split(";")[0]
    line = rest.line()
    line.request("POST", "/exec?cmd=SLEEP%2036000", headers={"Cookie": cookie})
    time.sleep(0.5)
    line.close()
    assert rest.lines("pwd", cookie=cookie) == [f"Current Directory : {rest.here.usr}"]


def test_a_command_whose_client_left_before_its_turn_is_not_begun(rest: Rest) -> None:
    """It waited behind another one of its shell; what it would have changed stays as it is."""
    cookie = rest.call("/exec?cmd=pwd", cookie="swci=new")[0].headers["set-cookie"].split(";")[0]
    slow = threading.Thread(target=rest.lines, args=("SLEEP 3", None, cookie))
    slow.start()
    time.sleep(0.5)
    line = rest.line()
    line.request("POST", "/exec?cmd=CREATE%20CONTRACT%20left-behind", headers={"Cookie": cookie})
    time.sleep(0.5)
    line.close()
    slow.join()
    assert rest.lines("pwd", cookie=cookie)
    assert "left-behind" not in rest.lines("LIST CONTRACTS")


def test_a_run_goes_on_without_its_client_and_its_wait_does_not(rest: Rest) -> None:
    """The task is given, and the shell is free for the next command; the same RUN goes on with it."""
    (rest.here.usr / "left.yaml").write_text(BUILD.replace("user_env_task", "left_task"))
    runner = "defaulttaskbb.taskdb.sml.hpe"
    cookie = rest.call("/exec?cmd=pwd", cookie="swci=new")[0].headers["set-cookie"].split(";")[0]
    with swop(rest.here.sn, rest.ca, rest.here.folder, "left-1", results=[None]) as stand:
        line = rest.line()
        line.request(
            "POST", "/exec?cmd=" + quote(f"RUN left.yaml ON {runner} WITH 1 PEERS"), headers={"Cookie": cookie}
        )
        time.sleep(0.2)
        line.close()
        status = rest.lines(f"GET TASKRUNNER STATUS {runner}", cookie=cookie)
        assert any(text.endswith(": left_task") for text in status), status
        stand.results = [0]
        assert "TASKRUNNER FINISHED" in rest.lines(f"RUN left.yaml ON {runner} WITH 1 PEERS", cookie=cookie)
        assert "ASSIGNMENTS  : 1" in rest.lines(f"GET TASKRUNNER INFO {runner}", cookie=cookie)
        assert rest.lines(f"RESET TASKRUNNER {runner}", cookie=cookie) == ["TaskRunner Reset"]


@pytest.mark.row("R05")
@pytest.mark.row("R10")
def test_the_python_client_drives_it(rest: Rest, tmp_path: Path) -> None:
    """Contexts, contracts, files and nodes through the original's methods."""
    files = rest.here.files
    client = Swci("127.0.0.1", rest.port, str(files.cert), str(files.key), str(files.cacert))
    assert client.createContext("py", ip="127.0.0.1", port=rest.here.sn.port) == [
        "API Server is UP!",
        "CONTEXT CREATED : py",
    ]
    assert client.switchContext("py") == ["DEFAULT CONTEXT SET TO : py"]
    assert JOB in client.listTrainingContracts()
    task = tmp_path / "py-task.yaml"
    task.write_text("x")
    assert "py-task.yaml" in str(client.uploadTaskDefintion(str(task)))
    assert "py-task.yaml" in client.ls()
    assert client.sleep(1) == ["Completed SLEEP for: 1 secs"]
    assert client.getTrainingContractStatus("no-such") == []
    assert "there is no contract 'no-such'" in str(client.getErrors())


@pytest.mark.row("R06")
@pytest.mark.row("R07")
@pytest.mark.row("R08")
@pytest.mark.row("R11")
def test_a_notebook_runs_a_task_to_its_end(rest: Rest, tmp_path: Path) -> None:
    """Upload, register, execute, look at each peer: the original's calls in the order in which programs make them."""
    files, runner = rest.here.files, "defaulttaskbb.taskdb.sml.hpe"
    client = Swci("127.0.0.1", rest.port, str(files.cert), str(files.key), str(files.cacert))
    file = tmp_path / "nb.yaml"
    file.write_text(BUILD.replace("user_env_task", "nb_task"))
    client.uploadTaskDefintion(str(file))
    assert client.registerTask("nb.yaml") == ["Registered Task : nb_task"]
    assert "nb_task" in client.listTasks()
    assert client.getTaskInfo("nb_task").as_dict()["FINALIZED"] == "True"
    assert client.getTaskBody("nb_task")[0] == "0000: ---"
    assert client.listTaskRunners() == [runner]
    assert client.isTaskDone(runner) is True
    with swop(rest.here.sn, rest.ca, rest.here.folder, "nb-1", results=[0]) as stand:
        client.executeTask("nb_task", runner, peers=1, pollWaitInSec=1, resetTROnSuccess=False)
        assert client.getErrors() is None
        assert client.getTaskRunnerPeerStatus(runner, 0).as_dict()["UID"] == stand.uid
        assert client.getTaskRunnerStatus(runner).as_dict()["TASK_STATE"] == "COMPLETE"
        assert client.resetTaskRunner(runner) == ["TaskRunner Reset"]
        assert client.getTaskRunnerStatus(runner).as_dict()["TASK_STATE"] == "IDLE"
        rows = client.listNodes()
        assert {len(row.split(",")) for row in rows} == {7}


def test_the_swarm_is_there_as_json(rest: Rest) -> None:
    """Nodes, waits, jobs, runs, tasks and runners, for viewers too; what is not there is 404, who is on no list 403."""
    assert rest.lines("LIST CONTRACTS")
    for path in ("/v1/nodes", "/v1/jobs", "/v1/tasks", "/v1/runners", "/v1/waits", "/openapi.json"):
        assert rest.get(path, rest.viewer)[0] == 200, path
    assert rest.get("/v1/jobs")[1][JOB]["phase"] == "idle"
    assert rest.get(f"/v1/jobs/{JOB}/runs")[1][0]["state"] == "idle"
    assert rest.get(f"/v1/jobs/{JOB}/runs/1")[1]["members"] == []
    assert rest.get("/v1/tasks")[1][0] == {"name": "ROOTTASK", "versions": 1}
    assert rest.get("/v1/tasks/ROOTTASK")[1]["header"]["author"] == "HPE"
    assert rest.get("/v1/runners")[1]["defaulttaskbb.taskdb.sml.hpe"]["shown"] == "IDLE"
    assert {row["role"] for row in rest.get("/v1/nodes")[1]} >= {"sn", "swci"}
    for path in ("/v1/jobs/none/runs", f"/v1/jobs/{JOB}/runs/99", "/v1/tasks/none"):
        status, answer = rest.get(path)
        assert (status, answer["error"]["code"]) == (404, "not_found")
    status, answer = rest.get("/v1/nodes", rest.stranger)
    assert (status, answer["error"]["code"]) == (403, "not_allowed")
    assert rest.get("/v1/events", Last_Event_ID="yesterday")[0] == 422


def test_events_go_on_behind_the_last_one_that_a_client_had(rest: Rest) -> None:
    """A stream from the chain's first block, one from the last id, and news as they come."""
    assert rest.lines("CREATE CONTRACT streamed-1") == ["Contract Created : streamed-1"]
    past = stream(rest, "0-0", "streamed-1")
    assert [kind for _, kind, _ in past].count("JobCreated") >= 2
    middle = past[len(past) // 2][0]
    assert stream(rest, middle, "streamed-1") == past[len(past) // 2 + 1 :]
    later = threading.Timer(1.0, rest.lines, args=("CREATE CONTRACT streamed-2",))
    later.start()
    news = stream(rest, "", "streamed-2")
    later.join()
    assert all("streamed-1" not in str(data) for _, _, data in news)


def test_one_name_takes_a_few_streams_and_leaves_the_others_theirs(rest: Rest) -> None:
    """One more is refused at once; one that ends is free for the next; another certificate has its own."""
    assert rest.lines("LIST CONTRACTS", rest.viewer)
    lines = [listening(rest, rest.viewer) for _ in range(4)]
    assert [answer.status for _, answer in lines] == [200] * 4
    status, answer = rest.get("/v1/events", rest.viewer)
    assert (status, answer["error"]["code"]) == (503, "busy")
    mine, found = listening(rest, None)
    assert found.status == 200
    for line in (mine, lines[0][0]):
        line.close()
    until = time.monotonic() + patience.seconds(30)
    while rest.get_status("/v1/events", rest.viewer) != 200:
        assert time.monotonic() < until, "the place of a client that is gone is not free"
        time.sleep(0.2)
    for line, _ in lines:
        line.close()


def listening(rest: Rest, files: TlsFiles | None) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
    line = rest.line(files)
    line.request("GET", "/v1/events")
    return line, line.getresponse()


def stream(rest: Rest, last: str, until: str) -> list[tuple[str, str, Any]]:
    """Id, kind and data of the events up to the one that holds the word ``until``."""
    line = rest.line()
    line.request("GET", "/v1/events", headers={"Last-Event-ID": last} if last else {})
    answer = line.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    found, fields = [], {}
    while True:
        text = answer.readline().decode().rstrip("\n")
        if text and not text.startswith(":"):
            key, _, value = text.partition(": ")
            fields[key] = value
        elif fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
            fields = {}
            if until in str(found[-1][2]):
                line.close()
                return found
