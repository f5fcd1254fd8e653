"""Task files for tests: one good text of each type, and hypothesis strategies for typed tasks."""

from __future__ import annotations

from hypothesis import strategies as st
from swarm.core.tasktext.model import (
    BuildBody,
    ContentBody,
    Header,
    Login,
    Mount,
    Operation,
    PullBody,
    RunBody,
    Task,
    TaskType,
    Variable,
)

BUILD = """\
Name: user_env
TaskType: MAKE_USER_CONTAINER
Author: somebody
Prereq: ROOTTASK
Outcome: user-env-tf
Body:
    BuildContext: sl-cli-lib
    BuildType: INLINE
    BuildSteps:
    - FROM tensorflow/tensorflow:2.7.0
    - ' '
    - ''
    - '# what the program needs'
    - RUN pip3 install --upgrade pip && pip3 install \\
    - '   keras pandas'
"""
RUN = """\
Name: train
TaskType: RUN_SWARM
Author: somebody
Prereq: user_env
Outcome: train
Body:
    Command: model/train.py --minpeers=3
    Entrypoint: python3
    WorkingDir: /tmp/test
    Envvars: ["MODEL_DIR": model, "MAX_EPOCHS": 32, LOOP: true, LR: 1e-4, UNSET: ~]
    PrivateContent: /tmp/test/data
    SharedContent:
    -   Src: /opt/model
        Tgt: /tmp/test/model
        MType: BIND
"""
PULL = """\
Name: pull
TaskType: PULL_IMAGE
Author: somebody
Prereq: ROOTTASK
Outcome: base
Body:
  OrgAndReg: hub.example/org
  RepoName: base
  Tag: "1.0"
  Auth: ~
"""
CONTENT = """\
Name: content
TaskType: MAKE_SWARM_USER_CONTENT
Author: somebody
Prereq: ROOTTASK
Outcome: volume-1
Body:
  ContentType: SWARMCONTENT
  OpsList:
  - Operation: DOWNLOAD
    Target: https://data.example/set.tgz
    Options:
    - Out: set
  - Operation: EXTRACT
    Target: set.tgz
    Options: []
"""
ALL = {"BUILD": BUILD, "RUN": RUN, "PULL": PULL, "CONTENT": CONTENT}

LINE_CHARS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufffe\uffff\ufeff")
"""What may stand in a value; a byte order mark inside a text is an escape in YAML and no matter of these tests."""
HOSTILE = st.sampled_from(
    ["- x", ": v", "K : V", "BuildType : INLINE", "---", "'", "''", '"', "#", " #", "~ ", "a : b", "  lead", "trail  ",
     "True", "null", "1e-4", "!", "&a", "*a", "|", ">", "%", "@", "`", "{", "[", "\\", "\t", "Command : x", "0001: x"]
)  # fmt: skip


def texts(least: int = 1, most: int = 100) -> st.SearchStrategy[str]:
    """Free strings, ugly ones among them; short enough that no line is above its bytes."""
    free = st.text(LINE_CHARS, min_size=least, max_size=most)
    return st.one_of(free, HOSTILE, st.builds(lambda a, b: (a + b)[:most], HOSTILE, free))


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", fullmatch=True).filter(lambda name: name != "ROOTTASK")
VARIABLE_NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True),
    st.text(LINE_CHARS, min_size=1, max_size=30).filter(
        lambda name: name == name.strip() and name.isprintable() and not set(name) & set("=:“”„‟«»‘’‚‛<>")
    ),
)
VARIABLES = st.builds(Variable, VARIABLE_NAMES, st.none() | texts(0))
NO_TILDE = texts().filter(lambda text: text.strip() != "~")
BUILD_BODIES = st.builds(
    BuildBody,
    st.none() | NO_TILDE,
    st.lists(texts(0), min_size=1, max_size=80).map(tuple),
    st.sampled_from(["INLINE", "REMOTE"]),
)
RUN_BODIES = st.builds(
    RunBody,
    texts(),
    texts(),
    texts(),
    st.none() | NO_TILDE,
    st.lists(st.builds(Mount, texts(), texts(), st.sampled_from(["BIND", "VOLUME"])), max_size=10).map(tuple),
    st.lists(VARIABLES, max_size=20).map(tuple),
)
PULL_BODIES = st.builds(PullBody, texts(), texts(), texts(), st.none() | NO_TILDE | st.builds(Login, texts(), texts(0)))
CONTENT_BODIES = st.builds(
    ContentBody,
    st.sampled_from(["BUILDCONTENT", "SWARMCONTENT"]),
    st.lists(
        st.builds(
            Operation,
            st.sampled_from(["DOWNLOAD", "EXTRACT"]),
            texts(),
            st.lists(VARIABLES, max_size=3).map(tuple),
        ),
        min_size=1,
        max_size=20,
    ).map(tuple),
)
BODIES = {
    TaskType.MAKE_USER_CONTAINER: BUILD_BODIES,
    TaskType.RUN_SWARM: RUN_BODIES,
    TaskType.PULL_IMAGE: PULL_BODIES,
    TaskType.MAKE_SWARM_USER_CONTENT: CONTENT_BODIES,
}


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """Any task that a file can hold."""
    kind = draw(st.sampled_from(list(BODIES)))
    head = Header(kind, draw(NAMES), draw(texts()), draw(NAMES), draw(NAMES))
    return Task(head, draw(BODIES[kind]))
