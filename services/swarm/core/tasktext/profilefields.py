"""The table of a SWOP profile: every key, and what it takes.

The original never applied the rules of its schema to the nodes, so profiles hold keys that mean nothing: these are
warned about. Of its required keys only those without which nothing can be run are required here.
"""

from __future__ import annotations

import ipaddress
import re

from .bounds import HOST_CHARS_MAX, NODES_MAX, PROFILE_CHARS_MAX
from .fields import OUTCOME, Anything, Choice, Labels, Many, Maybe, Option, Pairs, Record, Text, Whole, absolute_advice
from .findings import Weight

PORT_MAX = 65_535
VARIABLES_MAX, LABELS_MAX, OPTIONS_MAX, IDENTITY_MAX, DNS_MAX = 200, 100, 40, 20, 16
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
OPTIONS = ("gpus", "device", "ipc", "shm-size", "group-add", "cap-add", "security-opt", "privileged")
"""Of a container: NVIDIA's one, and those that AMD's need."""
ATTRIBUTES = ("KEY", "CERT", "CACERT", "CAPATH", "SPIFFE_SOCKETPATH")
SL_VARIABLES = (
    "SL_FS_PORT", "SL_FS_SERVICE", "SL_LOG_LEVEL", "SL_MAKE_ME_ADMIN", "SL_LEADER_FAILURE_BASE_TIMEOUT",
    "SL_WAIT_FOR_FULL_QUORUM_SECONDS", "SL_RAM_INTENSIVE", "SL_MODEL_PARAMS_COMPRESSION_THRESHOLD_MB",
    "SWARM_LOG_LEVEL", "SWARM_LOOPBACK",
)  # fmt: skip
"""Of the original, that users set; near misses of these are named."""


def _group(text: str) -> str | None:
    if "<" in text or _CONTAINER.fullmatch(text):
        return None
    return "names of containers begin with it: use letters, digits and . _ - with a letter or digit first"


def address_advice(text: str) -> str | None:
    """Why this is no address of a container."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return None if "<" in text else "this is no IP address"
    return None


_HOST = Text(1, HOST_CHARS_MAX)
_PORT = Whole(1, PORT_MAX)
_VARIABLES = Maybe(Pairs(Anything(HOST_CHARS_MAX * 4), VARIABLES_MAX), about="- NAME: value; nothing: as in the image")
_LABELS = Maybe(Labels(LABELS_MAX), about="NAME: value, or a list of names")
_ADDRESS = Maybe(Pairs(Text(1, HOST_CHARS_MAX, advice=address_advice), 8, known=("ip",)), about="- ip: fixed address")

ATTRIBUTE = Record(
    "attribute",
    {
        "aType": Choice(ATTRIBUTES, about="what of the identity this is"),
        "mType": Choice(("BIND", "VOLUME")),
        "src": Text(1, PROFILE_CHARS_MAX, about="folder or file of the host, or name of a volume"),
        "tgt": Text(1, PROFILE_CHARS_MAX, advice=absolute_advice, about="where it is in the container"),
        "subPath": Maybe(Text(1, PROFILE_CHARS_MAX), about="the file, relative to tgt"),
    },
    ("aType", "mType", "src", "tgt"),
    Weight.WARNING,
)
PRIVATE = Record(
    "privatedata",
    {"src": Text(1, PROFILE_CHARS_MAX), "mType": Choice(("BIND", "VOLUME"))},
    ("src", "mType"),
    Weight.WARNING,
)
NODE = Record(
    "slnodedef",
    {
        "idx": Whole(0, 2**31 - 1, about="number of the node in this profile, from 0"),
        "identity": Maybe(
            Many(
                Record("an item of identity", {"attribute": ATTRIBUTE}, ("attribute",), Weight.WARNING), 0, IDENTITY_MAX
            )
        ),
        "slhostname": Maybe(Text(1, PROFILE_CHARS_MAX), about="host name of the SL's container"),
        "slhostip": Maybe(
            Text(1, PROFILE_CHARS_MAX), about="where others reach the SL: address, or a container's name"
        ),
        "slport": Maybe(_PORT, about="port of the SL, 30305 if nothing"),
        "slfsservice": Maybe(_HOST, about="name and port of the SL behind a proxy"),
        "privatedata": Maybe(PRIVATE, about="mounted at the task's PrivateContent"),
        "slenvvars": _VARIABLES,
        "usrenvvars": _VARIABLES,
        "sllabels": _LABELS,
        "usrlabels": _LABELS,
        "slnetworkopts": _ADDRESS,
        "usrnetworkopts": _ADDRESS,
        "usrhostname": Maybe(Text(1, PROFILE_CHARS_MAX), about="host name of the ML program's container"),
        "usrcontaineropts": Maybe(Pairs(Option(PROFILE_CHARS_MAX), OPTIONS_MAX, known=OPTIONS), about="devices"),
    },
    ("idx",),
    Weight.WARNING,
)
_LICENSE = Record("locator", {"host": _HOST, "port": Maybe(_PORT)}, ("host",), Weight.WARNING)
_API = Record("locator", {"host": Maybe(_HOST), "port": Maybe(_PORT), "service": Maybe(_HOST)}, (), Weight.WARNING)
PROFILE = Record(
    "the profile",
    {
        "groupname": Text(without=OUTCOME, advice=_group, about="begins the names of all containers"),
        "taskrunner": Text(without=OUTCOME, about="the task runner that this SWOP follows"),
        "policyuri": Maybe(Text(1, 2048), about="nothing: every task is accepted"),
        "resourcemgr": Maybe(
            Record(
                "resourcemgr",
                {
                    "mgrtype": Choice(("DOCKER",)),
                    "accessinfo": Maybe(
                        Record("accessinfo", {"accesstype": Choice(("FROMENV",))}, ("accesstype",), Weight.WARNING)
                    ),
                },
                ("mgrtype",),
                Weight.WARNING,
            )
        ),
        "network": Text(without=OUTCOME, about="Docker network of the containers"),
        "apls": Maybe(
            Record("apls", {"locator": Maybe(_LICENSE)}, (), Weight.WARNING), about="license server; not needed here"
        ),
        "apisrv": Maybe(Record("apisrv", {"locator": Maybe(_API)}, (), Weight.WARNING), about="the SN to ask"),
        "envvars": _VARIABLES,
        "dns": Maybe(Many(_HOST, 0, DNS_MAX), about="name servers of the containers"),
        "nodes": Many(Record("an item of nodes", {"slnodedef": NODE}, ("slnodedef",), Weight.WARNING), 0, NODES_MAX),
    },
    ("groupname", "taskrunner", "network", "nodes"),
    Weight.WARNING,
)
