"""What must hold at every step of a simulation (V1 to V5, V7, the promises), whatever the faults.

Owns judgement only: it sees what nodes journal, say, submit and load, and what the chain records. A broken
rule becomes a line in ``violations``; the run goes on, so that one seed shows all that breaks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swarm.core.bundle import Bundle
from swarm.core.chain_view import JobState, Phase, Status
from swarm.core.control.joboptions import JobOptions
from swarm.core.control.staleness import Staleness
from swarm.core.engine.actions import LoadProgram, Merge
from swarm.core.engine.context import CONTEXT_KEY
from swarm.core.engine.events import ChainView
from swarm.core.engine.leading import gather
from swarm.core.engine.messages import ProposalMessage, Pulse, signed_of
from swarm.core.errors import Reverted
from swarm.core.ids import ZERO32, Address, BlobId, Digest
from swarm.core.merge import split
from swarm.core.roster import Roster
from swarm.core.statements import Ack, CheckIn, Proposal, RoundName, Takeover, method_name, name_from_json

from .node import past_of

if TYPE_CHECKING:
    from .node import SimNode
    from .world import World

Own = CheckIn | Ack | Takeover | Proposal


def discounted(rule: Staleness | None, behind: int) -> float:
    """The discount as its source has it, in floating point: Xie, Koyejo, Gupta 2019."""
    if rule is None:
        return 1.0
    number = rule.hundredths / 100
    if rule.form == "polynomial":
        return float((1 + behind) ** -number)
    return 1.0 if behind <= rule.grace else 1 / (number * (behind - rule.grace) + 1)


class Checks:
    """The judge of one simulation. ``rounds`` counts commits."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[str] = []
        self.rounds = 0
        self.committed_at: dict[int, float] = {}
        self.takeovers = 0
        self._journaled: dict[Address, dict[str, set[Own]]] = defaultdict(dict)
        self._signed: dict[tuple[Any, ...], Own] = {}
        self._promised: dict[tuple[Address, RoundName], int] = defaultdict(int)
        self._highest_ack: dict[tuple[Address, RoundName], Ack] = {}
        self._acked: dict[RoundName, dict[tuple[int, Digest], set[Address]]] = defaultdict(lambda: defaultdict(set))
        self._chosen: dict[RoundName, Digest] = {}
        self._rosters: dict[Digest, Roster] = {}
        self._merged: dict[tuple[int, int], BlobId] = {}
        self._recorded: dict[tuple[int, int], set[BlobId]] = defaultdict(set)
        self._said_in: dict[CheckIn, int] = {}
        self._training_quorum: dict[tuple[Address, RoundName, int], float] = {}

    def broken(self, rule: str, text: str) -> None:
        line = f"{rule}: {text}"
        if line not in self.violations:
            self.violations.append(line)
            self._world.trace(f"VIOLATION {line}")

    # ---- what nodes promise --------------------------------------------------------------------------

    def journaled(self, node: SimNode, entries: dict[str, Any]) -> None:
        """Entries as they will be read back after a restart."""
        for key, data in entries.items():
            if data is None:
                self._journaled[node.address].pop(key, None)
            elif key.startswith(CONTEXT_KEY):
                self._context_journaled(node, key, data)

    def _context_journaled(self, node: SimNode, key: str, data: dict[str, Any]) -> None:
        own: set[Own] = {signed_of(CheckIn, s).statement for s in data["check_ins"]}
        if data["takeover"]:
            own.add(signed_of(Takeover, data["takeover"]).statement)
        if data["ack"]:
            own.add(signed_of(Ack, data["ack"]).statement)
        if data["proposal"]:
            own.add(ProposalMessage.from_json(data["proposal"]).signed.statement)
        self._journaled[node.address][key] = own
        name = name_from_json(data["name"])
        lost = self._promised[(node.address, name)] - int(data["promised"])
        if lost > 0:
            self.broken("promise", f"{node.name} journals a promise {lost} attempts below an earlier one")
        self._all_signed(node, own)

    def said(self, node: SimNode, pulse: Pulse) -> None:
        """A pulse leaves the node: what it promises must be on disk already."""
        own: set[Own] = set()
        for signed in pulse.statements:
            statement = signed.statement
            if isinstance(statement, CheckIn | Ack | Takeover):
                own.add(statement)
            if isinstance(statement, CheckIn) and self._said_in.setdefault(statement, node.life) != node.life:
                self._world.rows.says_again(node, statement)
        if pulse.proposal is not None and pulse.proposal.signed.statement.leader == node.address:
            own.add(pulse.proposal.signed.statement)
            self._entitled(node, pulse.proposal)
        for statement in own.difference(*self._journaled[node.address].values()):
            self.broken("journal", f"{node.name} says a {statement.KIND} that is not on its disk")
        self._all_signed(node, own)
        if pulse.certificate is not None:
            self.certificate(node, pulse.certificate)

    def _entitled(self, node: SimNode, message: ProposalMessage) -> None:
        """A later attempt's proposal shows a majority's takeovers, and the result they bind it to."""
        said = message.signed.statement
        roster = self._rosters.get(said.name.roster)
        if roster is None:
            return
        shown = {
            t.statement.node: t.statement
            for t in message.takeovers
            if (t.statement.name, t.statement.attempt) == (said.name, said.attempt)
        }
        fresh = all(t.acked_result == ZERO32 for t in shown.values())
        done = all(i.check_in.done for i in message.items)
        if fresh and done and not {i.check_in.node for i in message.items}.issuperset(roster.addresses):
            self.broken("V4", f"{node.name} proposes an end of the run without a member of the roster")
        if said.attempt == 0:
            return
        if len(set(shown) & set(roster.addresses)) < roster.majority:
            self.broken("takeover", f"{node.name} leads attempt {said.attempt} without a majority's takeovers")
        acked = [t for t in shown.values() if t.acked_result != ZERO32]
        if acked and max(acked, key=lambda t: t.acked_attempt).acked_result != said.result:
            self.broken("takeover", f"{node.name} does not propose the result that was acknowledged last")

    def _all_signed(self, node: SimNode, own: set[Own]) -> None:
        for statement in sorted(own, key=lambda s: (getattr(s, "attempt", -1), s.KIND != "takeover")):
            self._one_signed(node, statement)

    def _one_signed(self, node: SimNode, statement: Own) -> None:
        who, name = node.address, statement.name
        number = statement.version if isinstance(statement, CheckIn) else statement.attempt
        key = (type(statement), who, name, number)
        known = self._signed.get(key)
        if known is not None:
            if known != statement:
                what = "two check-ins" if isinstance(statement, CheckIn) else f"two of {statement.KIND}"
                self.broken("equivocation", f"{node.name} signed {what} for round {name.round}, number {number}")
            return
        self._signed[key] = statement
        self._heir(node, statement)
        if isinstance(statement, CheckIn):
            return
        if statement.attempt < self._promised[(who, name)]:
            self.broken(
                "promise", f"{node.name} signs a {statement.KIND} of attempt {statement.attempt}, promised more"
            )
        self._promised[(who, name)] = max(statement.attempt, self._promised[(who, name)])
        if isinstance(statement, Ack):
            self._ack(node, statement)
        elif isinstance(statement, Takeover):
            self.takeovers += 1
            highest = self._highest_ack.get((who, name))
            truth = (highest.attempt, highest.result) if highest else (0, ZERO32)
            if (statement.acked_attempt, statement.acked_result) != truth:
                self.broken("takeover", f"{node.name} takes over without telling what it acknowledged last")

    def _heir(self, node: SimNode, statement: Own) -> None:
        """Of a lost key and its heir at most one has a say in a round: what the lost one promised is not known."""
        lost, name = self._world.heirs.get(node.address), statement.name
        roster = self._rosters.get(name.roster)
        if lost is None:
            return
        if (roster is not None and lost in roster) or any(k[1] == lost and k[2] == name for k in self._signed):
            self.broken("heir", f"{node.name} signs a {statement.KIND} in round {name.round} beside its lost key")

    def _ack(self, node: SimNode, ack: Ack) -> None:
        self._highest_ack[(node.address, ack.name)] = ack
        roster = self._rosters.get(ack.name.roster)
        by = self._acked[ack.name][(ack.attempt, ack.result)]
        if roster is None or node.address not in roster:
            self.broken("ack", f"{node.name} acknowledges a round of a roster it is not on")
            return
        by.add(node.address)
        if self._world.liars:
            return
        if len(by) >= roster.majority and self._chosen.setdefault(ack.name, ack.result) != ack.result:
            self.broken("V1", f"two results of round {ack.name.round} (epoch {ack.name.epoch}) have a majority")

    def acks(self, name: RoundName) -> int:
        """The most acks that one result of one attempt has, said or not."""
        return max((len(by) for by in self._acked.get(name, {}).values()), default=0)

    def check_ins(self, node: SimNode) -> list[CheckIn]:
        """Every check-in the node ever signed."""
        return [s for s in self._signed.values() if isinstance(s, CheckIn) and s.node == node.address]

    def certificate(self, node: SimNode, bundle: Bundle) -> None:
        """A certificate exists at this node. (A liar in two majorities can make two: the chain takes one.)"""
        if self._world.liars:
            return
        if self._chosen.setdefault(bundle.name, bundle.result.hash()) != bundle.result.hash():
            self.broken("V1", f"{node.name} holds a second certificate for round {bundle.name.round}")

    def opened(self, roster: Roster) -> None:
        self._rosters[roster.hash()] = roster

    # ---- what the chain records ----------------------------------------------------------------------

    def committed(self, bundle: Bundle, before: JobState, after: JobState) -> None:
        """The chain took a commit."""
        self.committed_at[bundle.name.round] = self._world.now
        key = (bundle.name.run, bundle.name.round)
        if key in self._merged or (before.run, before.round) != key or after.round != before.round + 1:
            self.broken("V1", f"round {bundle.name.round} is committed out of turn")
        self._merged[key] = bundle.result.merged
        self.rounds = len(self._merged)
        self._recorded[key].add(bundle.result.merged)
        if len({i.check_in.node for i in bundle.items}) < before.min_peers:
            self.broken("V4", f"round {bundle.name.round} has fewer than minPeers contributors")
        if len({a.node for a, _ in bundle.acks} & set(bundle.roster.addresses)) < bundle.roster.majority:
            self.broken("V4", f"round {bundle.name.round} has no majority of acks")
        self._recomputed(bundle)
        self._late(bundle)
        named = {i.check_in.node for i in bundle.items}
        for heir in named & set(self._world.heirs):
            if self._world.heirs[heir] in named:
                self.broken("heir", f"round {bundle.name.round} counts a node and its lost key")
        for item in bundle.items:
            member = self._world.chain.members.member(item.check_in.node)
            if member.status is Status.REVOKED and member.changed_block < before.opened_block:
                self.broken("V5", f"round {bundle.name.round} merges a member that was revoked before it opened")
        if after.phase is Phase.COMPLETE and not self._world.chain.enough():
            for address in bundle.roster.addresses:
                node = self._world.node(address)
                if node.up and node.script.training and not node.script.said_final and not node.liar:
                    self.broken("V4", f"the run ends while {node.name} of the roster still trains")

    def _recomputed(self, bundle: Bundle) -> None:
        """V3: the committed list gives the committed bytes, whoever computes them (a liar's merge is its own)."""
        used = [i for i in bundle.items if i.check_in.weight]
        odds = {held.odd for i in used if (held := self._world.blobs.get(i.check_in.blob)) is not None}
        if len(odds) > 1 and not self._world.liars:
            self.broken("V6", f"round {bundle.name.round} merges models that are not finite in different places")
        if bundle.result.merged in self._world.invented:
            return
        if not used:
            made: BlobId | None = BlobId(bundle.name.prev)
        else:
            blobs = [i.check_in.blob for i in used]
            method, outer = split(method_name(bundle.result.method))
            older = self._world.chain.bundles.get((bundle.name.run, bundle.name.round - 1))
            before = None
            if outer is not None and outer.mu and older is not None and older.name.prev != ZERO32:
                before = older.name.prev
            past = past_of(outer, bundle.name.prev, before)
            made = self._world.made(method, blobs, [i.coefficient for i in used], past)
        if made != bundle.result.merged:
            self.broken("V3", f"round {bundle.name.round}: its inputs do not give its merged model")

    def _late(self, bundle: Bundle) -> None:
        """Each says by how many rounds its model is behind, and its share is what the job's option leaves of it."""
        used = [i for i in bundle.items if i.check_in.weight]
        number = bundle.name.round
        for item in used:
            said, node = item.check_in, self._world.node(item.check_in.node)
            base = number - 1 if said.blob == bundle.name.prev else self._world.trained_from.get(said.blob, number - 1)
            # What a reorganisation took back nobody trained from: whoever had loaded it says so, and more than it is.
            if not node.liar and not self._world.chain.reorgs and said.behind != max(0, number - 1 - base):
                self.broken("staleness", f"{node.name} says {said.behind} rounds behind in round {number}, of {base}")
        weighing = self._world.chain.weighing
        if not used or split(method_name(bundle.result.method))[0] != "mean":
            return
        whole = weighing.capped([i.check_in.weight for i in used])
        counts = [w * discounted(weighing.staleness, i.check_in.behind) for w, i in zip(whole, used, strict=True)]
        for item, count in zip(used, counts, strict=True):
            if not math.isclose(item.coefficient, count / sum(counts), rel_tol=1e-6):
                self.broken("staleness", f"round {number}: a share is {item.coefficient}, not {count / sum(counts)}")

    def orphaned(self, left: Mapping[tuple[int, int], Bundle]) -> None:
        """The chain has gone back: what is recorded now."""
        self._merged = {key: bundle.result.merged for key, bundle in left.items()}
        self.rounds = len(self._merged)

    # ---- what nodes do -------------------------------------------------------------------------------

    def refused(self, node: SimNode, fault: Reverted) -> None:
        """The contract refused a certificate: one of a name that a reset, reform or reorganisation ended, at most."""
        allowed = {"TrainingWrongRun", "TrainingWrongPhase"}
        if self._world.chain.reorgs:
            allowed |= {"TrainingWrongPrev", "TrainingWrongRoster"}
        if fault.name not in allowed:
            self.broken("certificate", f"{node.name} submitted a certificate that is unacceptable: {fault}")

    def loads(self, node: SimNode, view: ChainView, action: LoadProgram) -> None:
        round_, blob = action.round, action.blob
        self._starts(node, view, action)
        recorded = self._recorded[(view.state.run, round_)]
        if not recorded or view.state.round <= round_:
            self.broken("V2", f"{node.name} loads round {round_} before the chain has it")
        elif blob not in recorded or (view.state.round == round_ + 1 and view.state.prev != blob):
            self.broken("V2", f"{node.name} loads another model than the chain's of round {round_}")
        if blob not in node.disk:
            self.broken("V2", f"{node.name} loads a model that is not on its disk")
        self._world.rows.loads(node, view.state.run, round_)

    def _starts(self, node: SimNode, view: ChainView, action: LoadProgram) -> None:
        """With a Nesterov step all train from the same point: ahead of the last two models of the chain."""
        outer = JobOptions.from_text(self._world.chain.options).outer
        bundle = self._world.chain.bundles.get((view.state.run, action.round))
        wanted: bytes | None = None
        if outer is not None and outer.kind == "nesterov" and outer.mu and view.state.phase is Phase.OPEN:
            wanted = bundle.name.prev if bundle is not None and bundle.name.prev != ZERO32 else None
        if bundle is None or bundle.result.merged != action.blob or action.before == wanted:
            return
        if action.before is not None or wanted in node.disk:
            self.broken("V2", f"{node.name} trains from another point than the others after round {action.round}")

    def merges(self, node: SimNode, action: Merge) -> None:
        context, view = node.engine.state.context, node.engine.state.view
        # One with shares makes a decided merge again, of this round too: it must be the same, whoever left since.
        fresh = context is not None and context.name == action.name and action.coefficients is None
        for member, blob, _ in action.inputs:
            if blob not in node.disk:
                self.broken(
                    "store", f"{node.name} merges a model of {self._world.node(member).name} that is not on its disk"
                )
            if fresh and view is not None and member not in view.active:
                self.broken("V5", f"{node.name} merges the model of a member that it knows to be revoked")
        if fresh:
            self.closes(node, action)
        self._world.rows.merges(node, action)

    def closes(self, node: SimNode, action: Merge) -> None:
        """A round closes without a live member only after the grace, and only programs that train start that."""
        engine = node.engine.state
        context = engine.context
        if context is None or context.name != action.name:
            return
        since = self._training_quorum.get((node.address, context.name, context.promised), node.handled_at)
        missing = gather(engine, context, node.handled_at, None).missing
        live = [n for n in missing if n not in context.check_ins]
        if live and node.handled_at - since < node.config.full_quorum_seconds:
            names = " ".join(self._world.node(n).name for n in live)
            self.broken(
                "grace", f"{node.name} closes round {context.name.round} without {names} before the grace is over"
            )

    def served(self, node: SimNode, reader: Address, blob: BlobId) -> None:
        view = node.engine.state.view
        if not node.liar and (view is None or reader not in view.active):
            self.broken("V5", f"{node.name} serves a model to a member that is not active")

    def after_step(self, node: SimNode) -> None:
        context = node.engine.state.context
        if context is None:
            return
        if context.certificate is not None:
            self.certificate(node, context.certificate)
        key = (node.address, context.name, context.promised)
        if key not in self._training_quorum and context.leader() == node.address:
            latest = [context.latest(n) for n in context.check_ins]
            training = any(s is not None and not s.statement.done for s in latest)
            if training and len(latest) >= self._world.chain.view.state.min_peers:
                self._training_quorum[key] = node.handled_at

    def at_end(self) -> None:
        """The run is complete: everybody alive holds the final model and ended well."""
        chain = self._world.chain
        if not chain.over:
            self.broken("progress", f"the run stands at round {chain.view.state.round}")
            return
        final = chain.view.state.prev
        for node in self._world.nodes:
            if node.address not in chain.view.joiners and node.exit_code == 1:
                continue  # it came when the run was over, and was told so
            if node.address not in chain.view.roster and node.exit_code == 1:
                continue  # dropped by a reform, it came back when nobody was there any more, and said so
            if node.expected_to_finish and (node.exit_code != 0 or node.script.loaded != final):
                text = f"{node.name} ended with {node.exit_code}, final model loaded: {node.script.loaded == final}"
                self.broken("V2", text)
