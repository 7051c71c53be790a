"""Use case: examine whether a site does its work.

Everything is read from the ledger, the broker and the disks, so that no process has to answer that
may just have died.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triage.domain.census import Census
from triage.domain.delivery import Outage
from triage.domain.errors import BrokerUnavailable, LedgerUnavailable, SpoolUnavailable
from triage.domain.health import (
    CLOCK_BEHIND_S,
    FEW_FLOORS,
    UNDELIVERED_LONG_S,
    WAITING_LONG_S,
    Condition,
    Heartbeat,
    PartHealth,
    Role,
    is_missing,
    list_roles,
)
from triage.domain.study import State
from triage.pipeline.backpressure import BackpressureLimits, format_bytes
from triage.ports.clock import Clock
from triage.ports.heartbeats import Heartbeats
from triage.ports.ledger import Ledger
from triage.ports.queue import Queue
from triage.ports.spool import Spool

QUEUES = ("assess", "deliver")
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
#: The work that a site needs; the pages are needed only where they are configured.
NEEDED = (Role.RECEIVE, Role.ASSESS, Role.DELIVER)


@dataclass(frozen=True)
class HealthExamination:
    """Examines the parts of a site."""

    ledger: Ledger
    heartbeats: Heartbeats
    queue: Queue
    spool: Spool
    limits: BackpressureLimits
    clock: Clock
    destinations: Sequence[str]  #: names of the configured destinations
    complete_within_s: float  #: after which a study that still arrives is judged complete
    notice: str | None = None  #: why the receiver refuses instances; None if it does not
    needed: Sequence[Role] = NEEDED

    def examine(self) -> list[PartHealth]:
        """Return the health of every part."""
        return [*self._examine_ledger(), self._examine_broker(), *self._examine_disk()]

    def examine_machine(self, machine: str) -> list[PartHealth]:
        """Return the health of the processes of one machine; there must be one."""
        try:
            beats = [beat for beat in self.heartbeats.list_beats() if beat.machine == machine]
        except LedgerUnavailable as error:
            return [_describe_lost_ledger(error)]
        if not beats:
            why = f"no process of the worker runs on {machine}"
            return [PartHealth("process", Condition.ILL, why)]
        return self._examine_processes(beats)

    def _examine_ledger(self) -> Iterator[PartHealth]:
        try:
            beats, census = self.heartbeats.list_beats(), self.ledger.get_census()
            outages = self.ledger.list_outages()
        except LedgerUnavailable as error:
            yield _describe_lost_ledger(error)
            return
        yield PartHealth("ledger", Condition.WELL, "answers")
        yield self._examine_clock(census)
        yield from self._examine_processes(beats)
        yield from self._examine_roles(beats)
        yield self._examine_arrivals(census)
        yield self._examine_queue(census)
        yield self._examine_deliveries(census)
        yield from self._examine_destinations(outages)

    def _examine_clock(self, census: Census) -> PartHealth:
        """Return whether the ledger has times that have not come yet."""
        behind_s = max(0.0, (census.changed_at or 0.0) - self.clock.now())
        facts = {"behind_s": round(behind_s)}
        if behind_s > CLOCK_BEHIND_S:
            detail = (
                f"this machine is {format_age(behind_s)} behind the newest change in the ledger: "
                "correct its clock, and let NTP keep it"
            )
            return PartHealth("clock", Condition.ILL, detail, facts)
        return PartHealth("clock", Condition.WELL, "agrees with the ledger", facts)

    def _examine_processes(self, beats: Sequence[Heartbeat]) -> list[PartHealth]:
        now = self.clock.now()
        late = {beat for beat in beats if is_missing(beat, beats, now)}
        shown = [beat for beat in beats if beat in late or not is_missing(beat, (), now)]
        return [_describe_process(beat, now, is_late=beat in late) for beat in shown]

    def _examine_roles(self, beats: Sequence[Heartbeat]) -> Iterator[PartHealth]:
        """Yield the kinds of work that no process does."""
        done = list_roles(beats, self.clock.now())
        for role in self.needed:
            if role not in done:
                yield PartHealth(str(role), Condition.ILL, "no process does this: start the worker")

    def _examine_arrivals(self, census: Census) -> PartHealth:
        """Return whether studies are judged complete in time."""
        count, since = census.studies.get(State.RECEIVING, 0), census.arriving_since
        age_s = 0.0 if since is None else max(0.0, self.clock.now() - since)
        facts = {"arriving": count, "oldest_s": round(age_s)}
        if age_s > self.complete_within_s + WAITING_LONG_S:
            detail = f"a study has been arriving for {format_age(age_s)} and is not judged complete"
            return PartHealth("arrivals", Condition.ILL, detail, facts)
        return PartHealth("arrivals", Condition.WELL, f"{count} studies arrive", facts)

    def _examine_queue(self, census: Census) -> PartHealth:
        waiting, since = census.studies.get(State.READY, 0), census.waiting_since
        age_s = 0.0 if since is None else max(0.0, self.clock.now() - since)
        condition = Condition.DEGRADED if age_s > WAITING_LONG_S else Condition.WELL
        oldest = f", the oldest for {format_age(age_s)}" if waiting else ""
        facts = {"waiting": waiting, "oldest_s": round(age_s)}
        return PartHealth("queue", condition, f"{waiting} studies wait{oldest}", facts)

    def _examine_deliveries(self, census: Census) -> PartHealth:
        since = census.undelivered_since
        if since is None:
            return PartHealth("deliveries", Condition.WELL, "every report is delivered or given up")
        age_s = max(0.0, self.clock.now() - since)
        condition = Condition.DEGRADED if age_s > UNDELIVERED_LONG_S else Condition.WELL
        detail = f"the oldest undelivered report was made {format_age(age_s)} ago"
        return PartHealth("deliveries", condition, detail, {"oldest_s": round(age_s)})

    def _examine_destinations(self, outages: Sequence[Outage]) -> Iterator[PartHealth]:
        now, silent = self.clock.now(), {outage.destination: outage for outage in outages}
        for name in self.destinations:
            part = f"destination {name}"
            if (outage := silent.get(name)) is None:
                yield PartHealth(part, Condition.WELL, "answered last time, or was not contacted")
                continue
            age_s = max(0.0, now - outage.since)
            detail = f"silent for {format_age(age_s)}, {outage.waiting} reports wait"
            yield PartHealth(part, Condition.DEGRADED, detail, {"silent_s": round(age_s)})

    def _examine_broker(self) -> PartHealth:
        try:
            tasks = {name: self.queue.count_waiting(name) for name in QUEUES}
        except BrokerUnavailable as error:
            why = f"does not answer, nothing is assessed or delivered ({error})"
            return PartHealth("broker", Condition.ILL, why)
        detail = ", ".join(f"{count} tasks to {name}" for name, count in tasks.items())
        return PartHealth("broker", Condition.WELL, detail, {"tasks": tasks})

    def _examine_disk(self) -> Iterator[PartHealth]:
        if self.notice is not None:
            yield PartHealth("reception", Condition.ILL, self.notice)
        try:
            free = self.spool.measure_free_bytes()
        except (SpoolUnavailable, OSError) as error:
            yield PartHealth("disk", Condition.ILL, f"the spool does not answer: {error}")
            return
        floor = self.limits.free_bytes
        detail = f"{format_bytes(free)} free, reception stops below {format_bytes(floor)}"
        facts = {"free_bytes": free, "floor_bytes": floor}
        yield PartHealth("disk", _judge_disk(free, floor), detail, facts)


def _judge_disk(free: int, floor: int) -> Condition:
    if free < floor:
        return Condition.ILL
    return Condition.DEGRADED if free < FEW_FLOORS * floor else Condition.WELL


def _describe_lost_ledger(error: LedgerUnavailable) -> PartHealth:
    return PartHealth("ledger", Condition.ILL, f"does not answer: {error}")


def _describe_process(beat: Heartbeat, now: float, *, is_late: bool) -> PartHealth:
    part = f"{beat.role} on {beat.machine} ({beat.pid})"
    age_s = max(0.0, now - beat.beat_at)
    facts = {"beat_s": round(age_s), "listening_since": beat.listening_since}
    if is_late:
        detail = f"no heartbeat for {format_age(age_s)}: start the worker, and see its log"
        return PartHealth(part, Condition.ILL, detail, facts)
    if beat.role is not Role.RECEIVE:
        return PartHealth(part, Condition.WELL, f"last heartbeat {format_age(age_s)} ago", facts)
    if not beat.listening_since:
        return PartHealth(part, Condition.ILL, "runs and does not listen: see its log", facts)
    since = format_age(max(0.0, now - beat.listening_since))
    detail = f"listening for {since}, last heartbeat {format_age(age_s)} ago"
    return PartHealth(part, Condition.WELL, detail, facts)


def format_age(seconds: float) -> str:
    """Return a duration in its largest unit, e.g. "12 min"."""
    for unit_s, unit in ((DAY_S, "days"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
