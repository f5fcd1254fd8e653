"""Options that several commands of the command line share."""

from __future__ import annotations

from swarm.core.limits import OPS_PORT_SN

from .form import Option, Takes

SOURCE = (
    Option("--sn", "ask this SN (host:port) through its API, as a member"),
    Option("--ops", f"ask an SN on this host through its operations port [default: http://127.0.0.1:{OPS_PORT_SN}]"),
    Option("--cert", "certificate of a member (with --sn)", Takes.PATH, "SWARM_ID_CERT"),
    Option("--key", "its private key (with --sn)", Takes.PATH, "SWARM_ID_KEY"),
    Option("--cacert", "trusted CA (with --sn)", Takes.PATH, "SWARM_ID_CACERT"),
    Option("--capath", "folder of CAs (with --sn)", Takes.PATH, "SWARM_ID_CAPATH"),
)
OUTPUT = Option("--output", "text, json (one envelope), or jsonl (an envelope a line)", default="text")
BARE = Option("--json", "print bare JSON, as earlier versions", Takes.SWITCH, into="as_json", old=True)

JOB = Option("JOB", "name of the job (training contract)", needed=True)
ANY_JOB = Option("JOB", "name of the job [default: all jobs]")
NEW_JOB = Option("JOB", "name of the new job", needed=True, into="contract")
RUN = Option("--run", "which run [default: the latest]", Takes.WHOLE)
NODE = Option("NODE", "UUID of a node, or a beginning that only one has", needed=True)
TASK = Option("TASK", "name of a task", needed=True)
RUNNER = Option("RUNNER", "name of a task runner", needed=True)
FILE = Option("FILE", "task definition (YAML)", needed=True)
PEERS = Option("--peers", "how many peers, or all: pairs of SL and ML for RUN_SWARM, else SWOPs")
FORCE = Option("--force", "also when it is at work, which ends it", Takes.SWITCH)
SETS = Option("--set", "NAME=VALUE: what <NAME> stands for (repeatable)", many=True, into="sets")
VARS = Option("--vars", "a YAML file of NAME: value, on its own or below vars:", into="vars_file")
PLAIN_SECRETS = Option("--plain-secrets", "let user and password stand in a task, with a warning", Takes.SWITCH)
STATE_OF_SN = Option("--state-dir", "state folder of this host's SN", Takes.PATH, "SWARM_STATE_DIR")
OPERATOR = "swarm.swci.settings:SwciSettings"
"""The settings of a SEND that the shell does ..."""
OPERATOR_FIELDS = (
    *("sn_ip", "sn_api_port", "sn_api_service", "cert", "key", "cacert", "capath"),
    *("state_dir", "key_password_file", "plain_secrets", "log_level"),
)
"""... and those of its fields that are flags here; the others are the shell's own."""
