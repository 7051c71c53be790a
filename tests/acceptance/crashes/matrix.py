"""Every step of a study with every fault: runs the cells and builds the table of results.

A cell is one study, from its first instance to its end. Lost is an instance that was answered with
Success and is not on disk, a study without its expected end state, or a report that is not at the
archive. Doubled is any report or revision beyond one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.acceptance.crashes.faults import DATABASE, FAULTS
from tests.acceptance.crashes.sending import Sending
from tests.acceptance.crashes.surroundings import BOUNDS, Surroundings, surroundings
from tests.builders.small_studies import SmallStudy, not_for_us, small_study
from tests.integration.postgres import Postgres, postgres
from tests.waiting import wait_until
from triage.crash_points import CrashPoint, Moment
from triage.destinations.storage_commitment import AT_ONCE_S
from triage.domain.study import Event, State

REACHED_S, ENDED_S = 240.0, 240.0
MOMENTS: Sequence[Moment] = (*CrashPoint, *Event)
#: Moments while a study is being sent; the test waits until the sender has finished.
ARRIVING = {
    CrashPoint.WRITTEN,
    CrashPoint.DURABLE,
    CrashPoint.NAMED,
    CrashPoint.KEPT,
    CrashPoint.RECORDED,
    Event.INSTANCE_RECEIVED,
}
PATIENT_S, QUICK_S = 4.0, 0.3  #: quiet times
#: What a worker reaches when its study may have ended: it waits a little for its archive.
AFTER_THE_END = {CrashPoint.COMMITMENT_ASKED, CrashPoint.DELIVERED}
#: A command executes these steps. All other steps have a fault that kills the stopped process.
BY_A_COMMAND = {Event.REPLAYED, Event.RESENT}
ITSELF = "it is killed"


@dataclass(frozen=True)
class Cell:
    """The result of a fault at a moment."""

    moment: Moment
    fault: str
    study_uid: str = ""
    ended: str = ""  #: the state in which the study ended
    reports: int = 0  #: at the archive
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    why: str = ""  #: what is wrong

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.why)

    def __str__(self) -> str:
        return (
            f"{self.moment}: {self.fault}: {self.ended}, {self.reports} report(s), {self.lost} lost"
            f", {self.doubled} doubled, {self.seconds:.0f} s{self.why and ': ' + self.why}"
        )


def cells() -> list[tuple[Moment, str]]:
    """Return every moment with every fault, without duplicates."""
    return [
        (moment, fault)
        for moment in MOMENTS
        for fault in FAULTS
        if (fault == ITSELF) <= (moment in BY_A_COMMAND)
    ]


def run(around: Surroundings, number: int, moment: Moment, fault: str) -> Cell:
    """Bring one study through a fault at a moment."""
    began = time.monotonic()
    around.shift_clock(0)
    around.wait_until_up()
    if moment in AFTER_THE_END:  # so that it is this study's
        time.sleep(2 * AT_ONCE_S)
    study = (not_for_us if moment is Event.DECLINED else small_study)(number)
    cell = Cell(moment, fault, study.uid)
    try:
        _brought(around, study, moment, fault)
        ended = _ended(around, study, moment)
    except TimeoutError as error:
        around.let_go()
        around.archive.start_if_down()
        why = f"{error}; {_state(around, study.uid)}"
        return replace(cell, lost=1, why=why, seconds=time.monotonic() - began)
    finally:
        around.break_assessments(0)
        around.reap()
    judged = judge(around, study, replace(cell, ended=ended))
    return replace(judged, seconds=time.monotonic() - began)


def judge(around: Surroundings, study: SmallStudy, cell: Cell) -> Cell:
    """Count the results of a study outside the site."""
    with closing(around.site.ledger()) as ledger:
        paths, revisions = set(ledger.list_paths(study.uid, 9)), len(_revisions(around, study.uid))
    spool = around.site.state / "spool"
    kept = sum((spool / path).is_file() for path in paths)
    expected = 0 if cell.moment is Event.DECLINED else 1
    reports = around.archive.reports(study.uid)
    lost = (len(study.instances) - min(kept, len(paths))) + max(0, expected - reports)
    doubled = max(0, reports - expected) + max(0, revisions - 1)
    return replace(cell, reports=reports, lost=lost, doubled=doubled)


def table(done: Sequence[Cell]) -> str:
    """Return a Markdown table: studies in, reports out, lost, doubled."""
    faults = [name for name in FAULTS if any(each.fault == name for each in done)]
    found = {(each.moment, each.fault): each for each in done}
    head = ["| step | " + " | ".join(faults) + " |", "| --- " * (len(faults) + 1) + "|"]
    rows = [
        f"| {moment} | " + " | ".join(_shown(found.get((moment, name))) for name in faults) + " |"
        for moment in MOMENTS
        if any(each.moment == moment for each in done)
    ]
    return "\n".join([*head, *rows])


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    said = f"1 {cell.reports} {cell.lost} {cell.doubled}"
    return said if cell.holds else f"**{said}**"


# -- one study


def _brought(around: Surroundings, study: SmallStudy, moment: Moment, fault: str) -> None:
    """Send a study until all of it is answered with Success, and have the fault happen."""
    prepared = PREPARED.get(moment, _nothing)
    around.arm(moment)
    with Sending(study, around.to_site.port) as sending:
        prepared(around, study, moment)
        pid = around.reached(REACHED_S)
        FAULTS[fault](around, pid, study.uid)
        around.let_go()
        sending.join()


def _ended(around: Surroundings, study: SmallStudy, moment: Moment) -> str:
    """Return how a study has ended, after it was replayed where that is its way."""
    right = State.DECLINED if moment is Event.DECLINED else State.DELIVERED
    if moment in {Event.SET_ASIDE, Event.UNDELIVERABLE, *BY_A_COMMAND}:
        if moment not in BY_A_COMMAND:
            _wait_for(around, study.uid, State.FAILED, right)
        around.archive.start_if_down()
        around.break_assessments(0)
        _replay(around, study.uid, *(["--deliveries"] if moment is Event.RESENT else []))
    _wait_for(around, study.uid, right)
    return right


def _replay(around: Surroundings, study_uid: str, *how: str) -> None:
    """Have a study replayed until it was: a command may be killed, as everything."""

    def replayed() -> bool:
        if _state(around, study_uid) == State.FAILED:
            around.run("replay", study_uid, *how).wait()
        return _state(around, study_uid) != State.FAILED

    wait_until(replayed, ENDED_S, "the replay")


def _wait_for(around: Surroundings, study_uid: str, *states: State) -> None:
    wait_until(lambda: _state(around, study_uid) in states, ENDED_S, " or ".join(states))


def _state(around: Surroundings, study_uid: str) -> str:
    found = _revisions(around, study_uid)
    return found[-1] if found else "unknown"


def _revisions(around: Surroundings, study_uid: str) -> list[State]:
    """Return the states of a study's revisions."""
    with closing(around.site.ledger()) as ledger:
        return [each.state for each in ledger.list_studies() if each.study_uid == study_uid]


# -- what must go wrong before, for a moment to come


def _nothing(_around: Surroundings, _study: SmallStudy, _moment: Moment) -> None:
    return


def _one_breaks(around: Surroundings, _study: SmallStudy, _moment: Moment) -> None:
    around.break_assessments(1)


def _all_break(around: Surroundings, _study: SmallStudy, _moment: Moment) -> None:
    around.break_assessments(BOUNDS["max_attempts"])


def _a_worker_dies(around: Surroundings, _study: SmallStudy, moment: Moment) -> None:
    around.arm(CrashPoint.READ)
    around.reached(REACHED_S)
    around.kill("work", "assess")
    around.arm(moment)


def _no_archive(around: Surroundings, _study: SmallStudy, _moment: Moment) -> None:
    around.archive.kill()


def _set_aside(around: Surroundings, study: SmallStudy, moment: Moment) -> None:
    around.disarm()
    _all_break(around, study, moment)
    _wait_for(around, study.uid, State.FAILED)
    around.break_assessments(0)
    around.arm(moment)
    around.run("replay", study.uid)


def _given_up(around: Surroundings, study: SmallStudy, moment: Moment) -> None:
    around.disarm()
    around.archive.kill()
    _wait_for(around, study.uid, State.FAILED)
    around.archive.start_if_down()
    around.arm(moment)
    around.run("replay", "--deliveries", study.uid)


PREPARED: dict[Moment, Callable[[Surroundings, SmallStudy, Moment], None]] = {
    Event.RELEASED: _one_breaks,
    Event.SET_ASIDE: _all_break,
    Event.ORPHANED: _a_worker_dies,
    Event.UNDELIVERABLE: _no_archive,
    Event.REPLAYED: _set_aside,
    Event.RESENT: _given_up,
}


def every(folder: Path, wanted: Sequence[tuple[Moment, str]], **settings: Any) -> list[Cell]:
    """Run cells one after the other, at a site that has the patience that they need."""
    done: list[Cell] = []
    for place, (quiet_s, shared) in enumerate(sorted({_site_of(*each) for each in wanted})):
        here = [each for each in wanted if _site_of(*each) == (quiet_s, shared)]
        with (
            _ledger(shared=shared) as database,
            surroundings(
                folder / f"site_{place}", quiet_s, database, commitment=True, **settings
            ) as around,
        ):
            done += _at_one_site(around, here)
    return done


def _site_of(moment: Moment, fault: str) -> tuple[float, bool]:
    """Return how long a site waits for more of a study, and whether its ledger has a server."""
    return PATIENT_S if moment in ARRIVING else QUICK_S, fault == DATABASE


@contextmanager
def _ledger(*, shared: bool) -> Iterator[Postgres | None]:
    """Yield a server for the ledger, or None: it is a file."""
    with postgres() if shared else nullcontext() as server:
        yield server


def _at_one_site(around: Surroundings, wanted: Sequence[tuple[Moment, str]]) -> Iterator[Cell]:
    """Run cells one after the other, and count once more what came in the end."""
    done: list[tuple[SmallStudy, Cell]] = []
    for number, (moment, fault) in enumerate(wanted, start=1):
        cell = run(around, number, moment, fault)
        study = (not_for_us if moment is Event.DECLINED else small_study)(number)
        done.append((study, cell))
        print(cell, flush=True)
    for study, cell in done:  # what was doubled late shows now
        yield cell if cell.why else judge(around, study, cell)
