"""All owners together stay within the budget; one that is alone may exceed it."""

from triage.pipeline.memory_budget import MemoryBudget


def test_owners_share_the_budget() -> None:
    budget = MemoryBudget(100)
    assert budget.reserve(1, 60)
    assert not budget.reserve(2, 60)
    assert budget.reserve(2, 40)
    assert not budget.reserve(1, 1)
    budget.release(2)
    assert budget.reserve(1, 40)


def test_an_owner_that_is_alone_gets_through() -> None:
    budget = MemoryBudget(100)
    assert budget.reserve(1, 60)
    assert budget.reserve(1, 500)
    assert not budget.reserve(2, 1)
    budget.release(1)
    budget.release(1)
    assert budget.reserve(2, 1)
