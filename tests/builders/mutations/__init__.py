"""Changes of a study that do not change what it shows, and changes that do.

    study      a drawn study, and the small steps of mutations
    naming     names, and the division into series
    labels     numbers, UIDs, image types and other elements
    geometry   planes and times that are stated in another way
    additions  further series and repeats
    changing   changes of the meaning

A mutation returns another study; the instances that it is given are not changed. A copy of an
instance has the SOP Instance UID of the original with a further component, so that `origin` finds
the original of every image. `touches` lists the kinds of evidence that a mutation takes away or
replaces: two mutations that touch the same kind are not combined, because each of them leaves the
evidence that the other one takes.
"""

from tests.builders.mutations import additions, changing, geometry, labels, naming
from tests.builders.mutations.study import (
    CHANGING,
    KEEPING,
    DrawnStudy,
    Mutation,
    Study,
    draw,
    origin,
)

__all__ = [
    "CHANGING",
    "KEEPING",
    "DrawnStudy",
    "Mutation",
    "Study",
    "additions",
    "changing",
    "draw",
    "geometry",
    "labels",
    "naming",
    "origin",
]
