"""The crash matrix: one fault at every step of a study, and no loss.

    hook/            module that every process of the site loads; it stops the process at a step
    surroundings.py  a site whose parts a test can kill, fill, disconnect and shift in time
    faults.py        the faults
    matrix.py        every step with every fault, the expected end of each study, and the table

The steps are those of `triage.crash_points` and the events of the state machine, taken from the
code. Results are counted outside the site: instances that the sender got Success for, and reports
at the archive.
"""
