import pytest

from triage.domain.study import (
    ENDED,
    OPEN,
    TRANSITIONS,
    Event,
    IllegalTransition,
    State,
    advance,
    draw_diagram,
)


def reachable(start: State) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for (before, _event), after in TRANSITIONS.items():
            if before is state and after not in found:
                found.add(after)
                todo.append(after)
    return found


def test_every_state_is_reached_and_every_event_used() -> None:
    assert reachable(State.RECEIVING) == set(State)
    assert {event for _state, event in TRANSITIONS} == set(Event)


@pytest.mark.parametrize("state", State)
def test_every_state_leads_to_an_end(state: State) -> None:
    assert reachable(state) & ENDED


def test_only_a_replay_leaves_an_end_state() -> None:
    leaving = {event for state, event in TRANSITIONS if state in ENDED}
    assert leaving == {Event.REPLAYED, Event.RESENT}


def test_an_ended_study_is_not_open() -> None:
    assert not OPEN & ENDED


def test_an_impossible_event_is_an_error() -> None:
    with pytest.raises(IllegalTransition, match="cannot happen to a study that is RECEIVING"):
        advance(State.RECEIVING, Event.ACKNOWLEDGED)


def test_the_diagram_shows_every_transition() -> None:
    shown = draw_diagram()
    for (before, event), after in TRANSITIONS.items():
        assert f"{before} --> {after}: {event}" in shown
