"""``Swci``: each command of the shell as a method (rows R05-R12, X03).

Owns names and defaults; the wire is :mod:`.transport`'s, what answers mean :mod:`.answers`', waiting and drawing
:mod:`.waiting`'s and :mod:`.topology`'s. Methods give the lines of the answer. After a failure they give none, and
:meth:`Swci.getErrors` tells why; with ``raiseErrors=True`` they raise it instead. No answer is kept: there are other
operators, so each of them may be another one a moment later.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import List, Optional, Sequence, Union

from . import topology, waiting
from .answers import LASTING, Answer, nodes, one_line, parse
from .errors import SwciError
from .transport import File, Transport

WEB_PORT, API_PORT = 30306, 30304
DEFAULT_RUNNER = "defaulttaskbb.taskdb.sml.hpe"
DEFAULT_CONTRACT = "defaultbb.cqdb.sml.hpe"
POLL_SECONDS = 120
"""Of executeTask, as in the original; ``wait_for_taskrunner`` looks each second."""
LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
OVER = ("COMPLETE", "ERROR", "IDLE")


class Swci:
    """A client of one SWCI in WEB mode.

    Args:
        swciIp: name or address of the SWCI; port: of its REST face.
        clientCert, clientPKey: PEM files of a certificate that the SWCI lets in; without, plain HTTP is spoken.
        clientCABundle: CA file, or a folder of them, that the SWCI's certificate must come from; without, the
            server's certificate is not looked at.
        enableCaching: taken for programs of the original, and without effect: each answer is asked for anew.
        raiseErrors: raise SwciError where the original gives an empty list.

    Raises:
        RuntimeError: no address, a port that is no int, or certificate files that cannot be used.
    """

    def __init__(
        self,
        swciIp: str,
        port: int = WEB_PORT,
        clientCert: Optional[File] = None,
        clientPKey: Optional[File] = None,
        clientCABundle: Optional[File] = None,
        logger: Optional[logging.Logger] = None,
        logLv: Union[int, str] = logging.WARNING,
        enableCaching: bool = True,
        raiseErrors: bool = False,
    ) -> None:
        self._logger = logger if isinstance(logger, logging.Logger) else logging.getLogger("swci-web")
        if self._logger is not logger:
            self.setLogLevel(logLv)
        if not swciIp:
            raise SwciError("SWCI IP not provided!")
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
            raise SwciError("SWCI Port not Integer!" if not isinstance(port, int) else f"{port} is no port: 1-65535")
        self._transport = Transport(str(swciIp), port, clientCert, clientPKey, clientCABundle)
        if clientCert is not None and clientCABundle is None:
            self._logger.warning(
                "The certificate of %s is not looked at: pass clientCABundle, the CA that it comes from.",
                self._transport.url,
            )
        self._raise = raiseErrors
        self._error: Optional[str] = None

    # ---- the client itself

    def setLogLevel(self, logLv: Union[int, str]) -> None:
        """A level of ``logging``, or its name; anything else is WARNING."""
        known = logLv if isinstance(logLv, int) else getattr(logging, logLv.upper(), None) if logLv in LEVELS else None
        self._logger.setLevel(known if isinstance(known, int) else logging.WARNING)

    def getErrors(self) -> Optional[str]:
        """Why the last command failed; None if it did not."""
        return self._error

    def clearCache(self) -> None:
        """Nothing is kept that could be forgotten; the original's client has answers that it does not ask for again."""

    def execute(self, command: str) -> Answer:
        """Run any command of the shell, one line of text."""
        return self._run(one_line("the command", command))

    def _run(self, command: str) -> Answer:
        """The lines of an answer; none, and an error kept, of a command that failed."""
        try:
            return self._ask(command)
        except SwciError as fault:
            self._logger.error("%s: %s", command, fault)
            if self._raise:
                raise
            return Answer()

    def _ask(self, command: str) -> Answer:
        """The lines of an answer, for those who tell one failure from another.

        Raises:
            SwciError: the command failed; ``lasting`` says whether asking again can help.
        """
        try:
            found, self._error = parse(self._transport.execute(command))
        except SwciError as fault:
            self._error = f"ERROR : {fault}"
            raise SwciError(self._error, fault.lasting) from None
        if self._error is not None:
            raise SwciError(self._error, self._error.startswith(LASTING))
        return found

    # ---- places, times

    def ls(self, optStr: str = "") -> Answer:
        """Files of SWCI's present folder; ``optStr``: options and a path."""
        return self._run(f"ls {one_line('optStr', optStr)}" if optStr else "ls")

    def pwd(self) -> Answer:
        """SWCI's present folder."""
        return self._run("pwd")

    def cd(self, dirPath: str) -> Answer:
        """Change SWCI's folder, within its user folder."""
        return self._run(f"cd {one_line('dirPath', dirPath)}")

    def sleep(self, sleepTime: int) -> Answer:
        """Have SWCI wait so many seconds."""
        return self._run(f"sleep {one_line('sleepTime', sleepTime)}")

    # ---- contexts, nodes

    def createContext(
        self, ctxName: str, ip: Optional[str] = None, port: int = API_PORT, service: Optional[str] = None
    ) -> Answer:
        """Make a context: the SN at ``ip`` and ``port``, or at ``service`` (``name[:port]``).

        Raises:
            RuntimeError: neither is given.
        """
        if ip is None and service is None:
            raise SwciError("For creating context either IP or Service name is mandatory!")
        name = one_line("ctxName", ctxName)
        where = f"service {one_line('service', service)}" if ip is None else f"ip {one_line('ip', ip)} {int(port)}"
        return self._run(f"create context {name} with {where}")

    def switchContext(self, ctxName: str) -> Answer:
        """Make a context the present one."""
        return self._run(f"switch context {one_line('ctxName', ctxName)}")

    def listContexts(self) -> Answer:
        """Names of all contexts."""
        return self._run("list contexts")

    def getContextInfo(self, ctxName: str) -> Answer:
        """What a context is."""
        return self._run(f"get context info {one_line('ctxName', ctxName)}")

    def listNodes(self) -> Answer:
        """A header, then each living node: type, host, port, container, UUID, parent's UUID, last sign of life."""
        return self._run("list Nodes")

    def plotTopology(
        self,
        SNColour: str = "#ADD8E6",
        SWOPColor: str = "#33FF33",
        SLColor: str = "#FFCCCB",
        attrs: Sequence[str] = (),
    ) -> Optional[topology.Picture]:
        """The swarm's picture, each node below the SN that it uses: shown by a notebook, ``save``d as SVG.

        Args:
            attrs: further lines in each box: Port, ContainerName, UUID, ParentUUID, i-am-alive.

        Where matplotlib is installed its present axes get the picture as well, as in the original.
        """
        found = self.listNodes()
        if not found:
            return None
        colours = {"SWOP": SWOPColor, "SL": SLColor}
        picture = topology.draw(nodes(found), lambda kind: colours.get(kind, SNColour), attrs)
        picture.onto_axes()
        return picture

    # ---- training contracts

    def createTrainingContract(self, ctName: str) -> Answer:
        """Register a training contract (a job)."""
        return self._run(f"create contract {one_line('ctName', ctName)}")

    def listTrainingContracts(self) -> Answer:
        """Names of all training contracts."""
        return self._run("list contracts")

    def getTrainingContractInfo(self, ctName: str) -> Answer:
        """What a training contract is: its origin, its runs, its options."""
        return self._run(f"get contract info {one_line('ctName', ctName)}")

    def getTrainingContractStatus(self, ctName: str) -> Answer:
        """Where a training contract stands."""
        return self._run(f"get contract status {one_line('ctName', ctName)}")

    def resetTrainingContract(self, ctName: str = DEFAULT_CONTRACT) -> Answer:
        """Open the next run of a training contract that has finished."""
        return self._run(f"reset contract {one_line('ctName', ctName)}")

    def perfdata(self, trainingBlackboardName: str) -> Answer:
        """Loss, metric and epochs of each SL of a training contract."""
        return self._run(f"perfdata {one_line('trainingBlackboardName', trainingBlackboardName)}")

    getTrainingContractPerformanceData = perfdata

    # ---- tasks

    def uploadTaskDefintion(self, taskFilePath: File) -> str:
        """Put a task file of this host into SWCI's folder; the answer's text (the name is the original's).

        Raises:
            RuntimeError: no such file, or it did not arrive.
        """
        path = Path(taskFilePath).resolve()
        if not path.is_file():
            raise SwciError(f"Task definition file not found : {path}")
        try:
            told = self._transport.upload(path)
            self._error = told if told.startswith("ERROR ") else None
            return told
        except (OSError, SwciError) as fault:
            raise SwciError(f"Task definition file upload failed: {fault}") from None

    uploadTaskDefinition = uploadTaskDefintion

    def createTaskFrom(self, yamlFileName: str) -> Answer:
        """Make a task from a file in SWCI's folder."""
        return self._run(f"create task from {one_line('yamlFileName', yamlFileName)}")

    def registerTask(self, yamlFileName: str, finalize: bool = True) -> Answer:
        """Make a task from a file, and finalise it."""
        made = self.createTaskFrom(yamlFileName)
        name = next((line.partition(":")[2].strip() for line in made if "Task Registered" in line), "")
        if not (finalize and name):
            return made
        return Answer([f"Registered Task : {name}"]) if self.finalizeTask(name) else Answer()

    def finalizeTask(self, taskName: str) -> Answer:
        """Freeze a task, which can be assigned from then on."""
        return self._run(f"finalize task {one_line('taskName', taskName)}")

    def deleteTask(self, taskName: str) -> Answer:
        """Remove a task that is not finalised."""
        return self._run(f"delete task {one_line('taskName', taskName)}")

    def listTasks(self) -> Answer:
        """Names of all tasks, ROOTTASK first."""
        return self._run("list tasks")

    def getTaskInfo(self, taskName: str) -> Answer:
        """Eight lines about a task."""
        return self._run(f"get task info {one_line('taskName', taskName)}")

    def getTaskBody(self, taskName: str) -> Answer:
        """The numbered lines of a task."""
        return self._run(f"get task body {one_line('taskName', taskName)}")

    # ---- task runners

    def createTaskRunner(self, trName: str) -> Answer:
        """Register a task runner."""
        return self._run(f"create taskrunner {one_line('trName', trName)}")

    def listTaskRunners(self) -> Answer:
        """Names of all task runners."""
        return self._run("list taskrunners")

    def getTaskRunnerInfo(self, trName: str) -> Answer:
        """What a task runner is: who listens, how often it was given a task, and which it has."""
        return self._run(f"get taskrunner info {one_line('trName', trName)}")

    def getTaskRunnerStatus(self, trName: str) -> Answer:
        """Where a task runner stands: its task, TASK_STATE, peers, times."""
        return self._run(f"get taskrunner status {one_line('trName', trName)}")

    getTaskrunnerStatus = getTaskRunnerStatus

    def getTaskRunnerPeerStatus(self, trName: str, idx: Union[int, str]) -> Answer:
        """One peer of a task runner, by its number from 0 or by its UID."""
        return self._run(f"get taskrunner peer status {one_line('trName', trName)} {one_line('idx', idx)}")

    def assignTask(self, taskName: str, trName: str, peers: Union[int, str]) -> Answer:
        """Give a task to a runner.

        Args:
            peers: how many (SL-ML pairs for RUN_SWARM, else SWOPs), or ``"ALL"`` that listen now.
        """
        number = "all" if str(peers).strip().upper() == "ALL" else str(int(peers))
        names = f"{one_line('taskName', taskName)} to {one_line('trName', trName)}"
        return self._run(f"assign task {names} with {number} peers")

    def assignTaskToTarget(self, taskName: str, trName: str, target: str) -> Answer:
        """Give a task to one SWOP of a runner, or have that SWOP join, or try again, what runs."""
        names = f"{one_line('taskName', taskName)} to {one_line('trName', trName)}"
        return self._run(f"assign task {names} target {one_line('target', target)}")

    def resetTaskRunner(self, trName: str = DEFAULT_RUNNER, force: bool = False) -> Answer:
        """Free a runner whose task is over; with ``force`` one that is busy: what runs there is stopped."""
        return self._run(f"reset taskrunner {one_line('trName', trName)}" + (" force" if force else ""))

    def isTaskDone(self, trName: str) -> bool:
        """Whether a runner's task is over, well or not.

        Raises:
            RuntimeError: the runner cannot be asked.
        """
        found = self.getTaskRunnerStatus(trName)
        if not found:
            raise SwciError(self._error or f"no answer about {trName}")
        return waiting.state_of(found) in OVER

    def wait_for_taskrunner(
        self, trName: str = DEFAULT_RUNNER, timeout: Optional[float] = None, poll: float = 1.0, progress: bool = True
    ) -> Answer:
        """Wait until a runner's task is complete, with a bar on a terminal or in a notebook; its last status.

        An SN or a SWCI that is away for a moment ends no wait: it is asked again, and the bar says so.

        Args:
            timeout: seconds until this gives up; None waits as long as it takes. poll: seconds between two looks.

        Raises:
            SwciError: the task failed (with the peers that did, and why); nothing is assigned; there is no such runner;
                this certificate may not ask; no SWCI is at this address; the first answer did not come within a
                minute, or none for six hours; or the time is over.
        """
        return waiting.wait(self, trName, timeout, poll, progress, time.monotonic, time.sleep)

    def executeTask(
        self,
        taskName: str,
        tr: str = DEFAULT_RUNNER,
        peers: Union[int, str] = 1,
        pollWaitInSec: float = POLL_SECONDS,
        resetTROnSuccess: bool = True,
    ) -> Optional[Answer]:
        """Assign a task, wait for its end, print what runner and peers say, and reset the runner if all is well."""
        assigned = self.assignTask(taskName, tr, peers)
        if not assigned:
            self._logger.error("Could not assign task %s on %s", taskName, tr)
            return assigned
        print(f"Assigned task {taskName} on {tr} for execution")
        looking = waiting.Looking(self, tr, time.monotonic)
        while True:
            status = looking.look()
            if status is not None and waiting.state_of(status) in OVER:
                break
            print(f"Waiting for task {taskName} to complete")
            time.sleep(pollWaitInSec)
        told: List[str] = [*status, "=" * 40]
        complete = waiting.state_of(status) == "COMPLETE"
        count = peers if isinstance(peers, int) else 0
        for index in range(count):
            told += [*self.getTaskRunnerPeerStatus(tr, index), "=" * 40]
        for line in told:
            print(line)
        if resetTROnSuccess and complete:
            self.resetTaskRunner(tr)
        return None

    def __repr__(self) -> str:
        return f"Swci({self._transport.url})"
