"""Stacks divided into series, named as a site with a vendor's scanner would name them.

Siemens makes one series per slice of a cine; GE and Philips make a single series. Philips mixes
three kinds of flow image in one series.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from numpy.random import Generator

from triage.phantom.habits import HABITS, NAMES, SIEMENS_ALONE, Habit, Name, Vendor
from triage.phantom.stack import PhantomSequence, PhantomSlice, PhantomStack, PhantomView

T = TypeVar("T")


class PhantomFrame(NamedTuple):
    """One image of a series."""

    stack: PhantomStack
    at: PhantomSlice
    depth: int  #: index of the slice in its stack
    phase: int
    kind: str = "M"  #: M magnitude, P velocity, A the accompanying anatomy (Philips flow)


class PhantomSeries(NamedTuple):
    """The images of one series, in the order of their instance numbers."""

    name: str
    habit: Habit
    frames: tuple[PhantomFrame, ...]

    @property
    def stack(self) -> PhantomStack:
        """The stack of the first image, which represents all (localizers: the first plane)."""
        return self.frames[0].stack


def plan_series(
    stacks: Sequence[PhantomStack], vendor: Vendor, rng: Generator
) -> list[PhantomSeries]:
    """Divide stacks into series and name them as a site with this vendor's scanner would."""
    names = {kind: draw_one(rng, choices) for kind, choices in NAMES[vendor].items()}
    habits = {kind: draw_one(rng, choices) for kind, choices in HABITS[vendor].items()}
    return [
        PhantomSeries(
            _format_name(names[frames[0].stack.sequence], frames[0], vendor),
            habits[frames[0].stack.sequence],
            frames,
        )
        for joined in _join_stacks(stacks, vendor)
        for frames in _split_frames(joined, vendor)
    ]


def draw_one(rng: Generator, choices: Sequence[T]) -> T:
    """Return one of several choices, drawn with equal probability."""
    return choices[int(rng.integers(len(choices)))]


def _join_stacks(stacks: Sequence[PhantomStack], vendor: Vendor) -> list[list[PhantomStack]]:
    """Join the planes of a localizer and, except for Siemens, the kinds of flow image."""
    joined = (
        {PhantomSequence.LOCALIZER}
        if vendor is Vendor.SIEMENS
        else {PhantomSequence.LOCALIZER, PhantomSequence.FLOW}
    )
    groups: list[list[PhantomStack]] = []
    for stack in stacks:
        if groups and stack.sequence in joined and _are_alike(stack, groups[-1][0]):
            groups[-1].append(stack)
        else:
            groups.append([stack])
    return groups


def _are_alike(a: PhantomStack, b: PhantomStack) -> bool:
    return a.sequence is b.sequence and a.slices[0].pixels.shape == b.slices[0].pixels.shape


def _split_frames(stacks: list[PhantomStack], vendor: Vendor) -> list[tuple[PhantomFrame, ...]]:
    frames = [
        PhantomFrame(stack, at, depth, phase, kind)
        for stack in stacks
        for kind in _image_kinds(stack, vendor)
        for depth, at in enumerate(stack.slices)
        for phase in range(len(stack.times_ms))
    ]
    if vendor is Vendor.SIEMENS and stacks[0].sequence in SIEMENS_ALONE:
        return [
            tuple(frame for frame in frames if frame.depth == depth)
            for depth in range(len(stacks[0].slices))
        ]
    if vendor is Vendor.PHILIPS:  # Philips numbers images phase by phase
        frames.sort(key=lambda frame: frame.phase)
    return [tuple(frames)]


def _image_kinds(stack: PhantomStack, vendor: Vendor) -> tuple[str, ...]:
    if stack.sequence is PhantomSequence.FLOW and stack.velocity:
        return ("P",)
    if stack.sequence is PhantomSequence.FLOW and vendor is Vendor.PHILIPS:
        return ("A", "M")
    return ("M",)


def _format_name(name: Name, frame: PhantomFrame, vendor: Vendor) -> str:
    stack = frame.stack
    suffix = f"_b{frame.depth + 1}" if stack.view is PhantomView.SAX else ""
    inversion_ms = 10 * round((stack.inversion_ms or 300) / 10)
    text = name.text.format(view=name.views[stack.view], _b=suffix, ti=inversion_ms)
    if vendor is Vendor.SIEMENS and stack.velocity:
        return f"{text}_P"
    return text.rstrip()
