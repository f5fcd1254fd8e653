"""Rows that only the command line has: files, certificates and processes of this host, and the chain as a whole."""

from __future__ import annotations

from swarm.core.limits import OPS_PORT_SL, OPS_PORT_SN, OPS_PORT_SWOP

from .form import Command, Line, Option, Takes, Way
from .options import PLAIN_SECRETS, SETS, SOURCE, STATE_OF_SN, VARS

LATER = "a later version"

ROWS: tuple[Command, ...] = (
    Command(
        "task check",
        "tasks",
        "Names everything that is wrong with task files and profiles, each with its line and the fix.",
        lines=(
            Line(
                "task check",
                Way.HERE,
                (Option("FILE...", "task files and profiles; - reads a pipe", into="files"), SETS, VARS, PLAIN_SECRETS),
                answer="Checked",
            ),
        ),
    ),
    Command(
        "task render",
        "tasks",
        "Shows what sites will run of a task: the body on chain, the Dockerfile, or each container.",
        lines=(
            Line(
                "task render",
                Way.HERE,
                (
                    Option("FILE", "a task file; - reads a pipe", needed=True),
                    Option("--profile", "of a site (repeatable)", many=True, into="profiles"),
                    Option("--with", "file of its prerequisite (repeatable)", many=True, into="others"),
                    SETS,
                    VARS,
                    PLAIN_SECRETS,
                ),
                answer="Rendered",
            ),
        ),
    ),
    Command(
        "task schema",
        "tasks",
        "Prints the JSON Schema (draft 2020-12) of task files, for editors and other tools.",
        lines=(
            Line(
                "task schema",
                Way.HERE,
                (Option("--profile", "of SWOP profiles instead", Takes.SWITCH, into="of_profile"), PLAIN_SECRETS),
                bare="it prints a JSON Schema as it is",
            ),
        ),
    ),
    Command(
        "site init",
        "host",
        "Writes each site's join bundle from the inventory of a swarm: no secret is in it, and no key leaves its host.",
        lines=(
            Line(
                "site init",
                Way.HERE,
                (
                    Option("INVENTORY", "YAML: sites, hosts, nodes, ports, folders of data", Takes.PATH, needed=True),
                    Option("--out", "folder for the bundles, one folder a site", Takes.PATH, default="bundles"),
                    Option("--site", "this site alone (repeatable)", many=True, into="sites"),
                    Option("--force", "write over what was changed by hand", Takes.SWITCH),
                ),
                answer="SiteBundles",
            ),
        ),
    ),
    Command(
        "site add",
        "host",
        "Writes the bundle of one further site, if no other site's changes by it.",
        lines=(
            Line(
                "site add",
                Way.HERE,
                (
                    Option("INVENTORY", "the inventory, with the further site in it", Takes.PATH, needed=True),
                    Option("NAME", "of the site", needed=True),
                    Option("--out", "folder of the bundles", Takes.PATH, default="bundles"),
                ),
                answer="SiteBundles",
            ),
        ),
    ),
    Command(
        "site check",
        "host",
        "Compares what runs with the inventory: nodes that an SN knows, and reports of swarm doctor from the sites.",
        lines=(
            Line(
                "site check",
                Way.HERE,
                (
                    Option("INVENTORY", "the inventory of the swarm", Takes.PATH, needed=True),
                    Option(
                        "--report",
                        "what swarm doctor --output json said at a site (repeatable); with reports and neither --sn "
                        "nor --ops no SN is asked",
                        Takes.PATH,
                        many=True,
                        into="reports",
                    ),
                    *SOURCE,
                ),
                answer="SiteCheck",
            ),
        ),
    ),
    Command(
        "doctor",
        "host",
        "Looks for what is wrong on this host before anything trains, and names each fix; exit code 1 at a fault.",
        lines=(
            Line(
                "doctor",
                Way.HERE,
                (
                    Option("FOLDER", "a site's bundle [default: this folder, unless an option says what to look at]"),
                    Option("--sn", "the SN that nodes of this host talk to (host:port)"),
                    Option("--peer", "a further port of another host, host:port (repeatable)", many=True, into="peers"),
                    Option("--cert", "certificate of a node", Takes.PATH, "SWARM_ID_CERT"),
                    Option("--key", "its private key", Takes.PATH, "SWARM_ID_KEY"),
                    Option("--cacert", "trusted CA", Takes.PATH, "SWARM_ID_CACERT"),
                    Option("--capath", "folder of CAs", Takes.PATH, "SWARM_ID_CAPATH"),
                    Option("--profile", "a SWOP profile", Takes.PATH),
                    Option("--policy", "a policy file", Takes.PATH),
                    Option("--data", "a folder of data (repeatable)", many=True, into="folders"),
                    Option("--image", "an sl image, to look from inside a container", into="image"),
                    Option("--user", "number that programs run as [default: as in the image]"),
                    Option("--engine", "address of the container engine", env="DOCKER_HOST"),
                ),
                answer="HostReport",
            ),
        ),
    ),
    Command(
        "policy allow",
        "host",
        "Writes a rule into a site's policy file: what a SWOP of this site takes from then on, without a restart.",
        lines=(
            Line(
                "policy allow",
                Way.HERE,
                (
                    Option("FILE", "the policy file; made if it is not there", Takes.PATH, needed=True),
                    Option(
                        "--task",
                        "name of a task (repeatable, as the next ones) [default: any]",
                        many=True,
                        into="tasks",
                    ),
                    Option("--kind", "its type [default: any]", many=True, into="kinds"),
                    Option(
                        "--author", "address of the operator who signed it [default: any]", many=True, into="authors"
                    ),
                    Option("--text", "root of its text, as a refusal shows it [default: any]", many=True, into="texts"),
                    Option("--image", "base of a build, image of a run, or what is pulled", many=True, into="images"),
                    Option("--mount", "folder of this host, or volume", many=True, into="mounts"),
                    Option("--url", "what content and ADD are downloaded from", many=True, into="urls"),
                    Option("--secret", "name in this site's file of secrets", many=True, into="secrets"),
                    Option("--capability", "of usrcontaineropts", many=True, into="capabilities"),
                    Option("--build-network", "build steps reach the network", Takes.SWITCH),
                    Option("--network", "the program reaches the network", Takes.SWITCH),
                    Option("--devices", "devices of usrcontaineropts", Takes.SWITCH),
                    Option("--privileged", "privileged of usrcontaineropts", Takes.SWITCH),
                ),
                answer="PolicyAllowed",
            ),
        ),
    ),
    Command(
        "policy check",
        "host",
        "Says what a site's policy file allows, or what is wrong with it.",
        lines=(
            Line(
                "policy check",
                Way.HERE,
                (Option("FILE", "the policy file", Takes.PATH, needed=True),),
                answer="PolicyChecked",
            ),
        ),
    ),
    Command(
        "node ready",
        "host",
        "Tells whether the node of this host does its work, for health checks: exit code 0, else 1 and the reason.",
        lines=(
            Line(
                "node ready",
                Way.HERE,
                (
                    Option("ROLE", "sn, sl, swop or swci: which process of this host", needed=True),
                    Option(
                        "--ops",
                        f"its operations port [default: http://127.0.0.1 with port {OPS_PORT_SN} of an sn, "
                        f"{OPS_PORT_SL} of an sl, {OPS_PORT_SWOP} of a swop, "
                        "or as SWARM_OPS_LISTEN and SWARM_OPS_PORT say]",
                    ),
                    Option("--timeout", "seconds to keep trying", Takes.SECONDS, default=0.0),
                ),
                answer="Ready",
                old=("ready",),
            ),
        ),
    ),
    Command(
        "member approve",
        "host",
        "Lets a waiting node into the swarm (SNs with --admission approve), as the user that runs the SN.",
        lines=(
            Line(
                "member approve",
                Way.HERE,
                (Option("NODE", "address of the node [default: list those that wait]"), STATE_OF_SN),
                answer="Approvals",
                old=("approve",),
            ),
        ),
    ),
    Command(
        "chain export",
        "host",
        "Writes members, roles, jobs with their options, and the record of their runs to FILE.",
        lines=(
            Line(
                "chain export",
                Way.HERE,
                (
                    Option("FILE", "the new file (JSON)", Takes.PATH, needed=True),
                    Option(
                        "--state-dir",
                        "read the embedded chain in the state folder of an SN that does not run",
                        Takes.PATH,
                    ),
                    Option("--without", "leave this job out (repeatable)", many=True),
                    *SOURCE,
                ),
                answer="Exported",
            ),
        ),
    ),
    Command(
        "chain import",
        "host",
        "Has the running SN of this host carry FILE into its chain, as the user that runs the SN.",
        lines=(
            Line(
                "chain import",
                Way.HERE,
                (Option("FILE", "what swarm chain export wrote", Takes.PATH, needed=True), STATE_OF_SN),
                answer="Said",
                streams=True,
            ),
        ),
    ),
    *(
        Command(name, "host", told, lines=(Line(name, Way.PROCESS, bare="it is a process, and has its own log"),))
        for name, told in (
            ("sn", "Runs a swarm network node."),
            ("sl", "Runs a swarm learning node."),
            ("swci", "Runs the operator's shell: commands, scripts, REST."),
            ("swop", "Runs a swarm operator node: tasks become images and containers of this host."),
            ("demo", "Trains one model at several sites on this machine."),
        )
    ),
    Command(
        "schema",
        "host",
        "Prints the JSON Schema (draft 2020-12) of a command's JSON answer.",
        lines=(
            Line(
                "schema",
                Way.HERE,
                (
                    Option("COMMAND...", "noun and verb, or a verb that stands alone", into="words"),
                    Option("--lines", "of a line of --output jsonl", Takes.SWITCH),
                ),
                bare="it prints a JSON Schema as it is",
            ),
        ),
    ),
    *(
        Command(words, "host", told, lines=(Line(words, Way.RESERVED, bare=f"it comes with {LATER}"),))
        for words, told in (
            ("new", "Begins a project."),
            ("try", "Tries a program before it trains in a swarm."),
        )
    ),
)
