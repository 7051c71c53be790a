"""A study as an operator sees it: its revision, and destinations that refused its reports."""

from dataclasses import dataclass

from triage.domain.study import StudyRevision


@dataclass(frozen=True)
class Refusal:
    """A destination that did not take a report, and its last answer."""

    destination: str
    answer: str
    is_final: bool  #: the delivery was given up; False: it is tried again


@dataclass(frozen=True)
class StudyOverview:
    """A revision of a study with the refusals of its reports."""

    study: StudyRevision
    refusals: tuple[Refusal, ...] = ()
