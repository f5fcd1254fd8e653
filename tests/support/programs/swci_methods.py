"""Calls every method that the original's SWCI client has, as a program of its users does; a JSON line for each call.

``python swci_methods.py HOST PORT CERT KEY CA SN_PORT TASK_FILE CONTRACT``: with whichever ``swarmlearning.swci``
Python finds, the original's or ours. The task is called as its file; CONTRACT is the name of a new one. A SWOP listens
to the default runner.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

from swarmlearning.swci import Swci

JOB, RUNNER = "defaultbb.cqdb.sml.hpe", "defaulttaskbb.taskdb.sml.hpe"


def main() -> None:
    host, port, cert, key, ca, sn_port, task_file, contract = sys.argv[1:]
    task = Path(task_file).stem
    client = Swci(host, int(port), cert, key, ca)

    def call(name: str, *given: object, **named: object) -> object:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                found, raised = getattr(client, name)(*given, **named), None
            except RuntimeError as error:
                found, raised = None, str(error)
        if name == "plotTopology":
            found = found is not None
        told = {"method": name, "answer": found, "error": client.getErrors(), "raised": raised}
        print(json.dumps({**told, "printed": printed.getvalue()}), flush=True)
        return found

    client.setLogLevel("CRITICAL")
    call("createContext", "one", ip=host, port=int(sn_port))
    call("createContext", "two", service=f"{host}:{sn_port}")
    call("createContext", "three")
    call("switchContext", "one")
    call("listContexts")
    call("getContextInfo", "one")
    call("pwd")
    call("cd", "inner")
    call("cd", "..")
    call("ls")
    call("ls", "-l")
    call("sleep", 1)
    call("createTrainingContract", contract)
    call("listTrainingContracts")
    call("getTrainingContractInfo", JOB)
    call("getTrainingContractStatus", contract)
    call("getTrainingContractPerformanceData", JOB)
    call("resetTrainingContract", contract)
    call("getTrainingContractStatus", "none-such")
    call("uploadTaskDefintion", task_file)
    call("uploadTaskDefintion", task_file + ".none")
    name = Path(task_file).name
    call("createTaskFrom", name)
    call("deleteTask", task)
    call("registerTask", name, finalize=False)
    call("finalizeTask", task)
    call("registerTask", name)
    call("listTasks")
    call("getTaskInfo", task)
    call("getTaskBody", task)
    call("deleteTask", task)
    call("listTaskRunners")
    call("getTaskRunnerInfo", RUNNER)
    call("getTaskRunnerStatus", RUNNER)
    call("isTaskDone", RUNNER)
    call("isTaskDone", "none-such")
    call("assignTask", task, RUNNER, 1)
    call("assignTask", task, RUNNER, 1)
    while not client.isTaskDone(RUNNER):
        client.sleep(1)
    call("getTaskRunnerPeerStatus", RUNNER, 0)
    call("resetTaskRunner", RUNNER)
    call("executeTask", task, RUNNER, peers=1, pollWaitInSec=1)
    call("getTaskRunnerStatus", RUNNER)
    call("listNodes")
    call("plotTopology", attrs=["Port", "ContainerName", "UUID", "ParentUUID", "i-am-alive"])
    call("clearCache")


if __name__ == "__main__":
    main()
