"""Synthetic cardiac MR studies: seeded hearts, their images as DICOM, and their reports.

For tests, demonstration and training without a patient. Rule: the same seed gives the same study,
and the drawn truth travels in a sidecar alone, never in an image or its header.

    heart       what is drawn: volumes, walls, motion, scars, vessels; and the truth that follows
    stack       images of one sequence at one position or one stack of positions
    anatomy     which tissue lies where in the beating heart
    views       the planes of a cardiac protocol
    signal      from tissue to intensities: sequence, coils, noise
    study       a heart and a protocol become stacks
    habits      what vendors write into their headers, as tables
    dicom       stacks become DICOM in the habits of a vendor
    impression  the truth becomes a report in varied words
    archive     many studies in a folder
    sheet       a contact sheet to look at
"""
