"""The crash matrix: at every named step of a study's way something breaks, and nothing is lost.

    hook/            what is loaded into each process of the site, and stops it at a step
    surroundings.py  a real site whose parts can be killed, filled, cut off and moved in time
    faults.py        what breaks
    matrix.py        every step with every fault; what is a study's right end; the table

Rule: the steps are those of `triage.crash_points` and the events of the state machine, taken from
the code. What is right is counted outside the site: what a sender was promised, and what lies at
the destination.
"""
