"""Choose the images of a study that the model uses, and prepare the frames that it takes.

    images       one image or frame with the attributes of classic MR
    phases       the phases of the images at one position, by whatever attribute states them
    beats        the images of one heartbeat, or the reason why they are none
    acquisitions how often a plane was taken, and which acquisition is used
    planes       which planes are parallel and stand next to each other
    stacks       parallel slices of one anatomy, each with its phases
    rules        the sequence and view that names and attributes state (rules.yaml)
    recognition  the sequence of a stack
    views        the cardiac view of a stack, by geometry
    series       the stacks that fill the model's view slots, and the reason for all others
    pixels       decoded, rescaled pixel values
    code_streams the size that a compressed frame states, compared with the data set
    decoder_process, decoder_child  a process that decodes compressed frames, with limits
    clip         the 8-bit frames that the model takes
    sheet        a contact sheet of stacks

Neither network nor database is used here. pydicom reads without its own validation: real headers
break rules that do not matter here, the rules that do matter are checked in these modules, and
pydicom's warnings would quote header values, which identify patients.
"""

import pydicom.config

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
