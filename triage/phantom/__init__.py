"""Synthetic cardiac MR studies: seeded hearts, their images as DICOM, and their reports.

They serve tests, demonstrations and training without patient data. The same seed gives the same
study. The truth of a drawn heart is written to a separate file only, never into an image or header.

    heart          the drawn heart (volumes, walls, motion, scars, vessels), and its truth
    stack          images of one sequence: a stack of positions, each with its phases
    tissue         tissues, layers and samples
    shapes         signed distances to simple shapes
    segments       segment values around and along the left ventricle
    anatomy        the shape of the beating heart in its chest
    cavity         papillary muscles, trabeculae and flow within the left ventricle
    habitus        what differs between chests besides the heart
    chest          the layers of everything that does not beat
    beating_heart  the layers of the heart at each phase
    scene          one slice, painted
    views          the planes of a cardiac protocol
    signal         from tissue to intensities: sequence, coils, noise
    study          from a heart and a scanner to the stacks of a study
    habits         vendors' header habits and series names, as tables
    dicom          from stacks to DICOM; with patient, series, dicom_header, classic_mr, enhanced_mr
    readers        habits and phrases of several readers
    impression     the report text on a heart
    archive        many studies in a folder
    sheet          contact sheets
"""
