"""From frames of a clip to images of the study and their pictures."""

from dataclasses import replace

import numpy as np

from tests.builders.assessments import mixed
from tests.builders.images import image, part10
from triage.domain.assessment import Answer, Flag, KeyFrame, SourceImage, UsedView
from triage.domain.reasons import ReasonCode, because
from triage.imaging.clip import FrameSource
from triage.imaging.series import ChosenView, Image
from triage.model.bundle import ClipForm
from triage.model.relevance import RelevantFrame
from triage.pipeline.key_frames import FINE, illustrate, list_key_frames, render_key_frames

FORM = ClipForm(frames=64, height=32, width=32)
IMAGES = tuple(SourceImage("1.2", f"1.2.{number}", "1.1") for number in range(3))
VIEW = UsedView("lge_sa", "1.1", "", "", IMAGES)


def test_a_frame_of_the_clip_is_the_image_that_it_was_made_of() -> None:
    origins = [None, FrameSource("lge_sa", 2), FrameSource("lge_sa", 0)]
    found = list_key_frames(
        [RelevantFrame("lge_sa", 1, 0.2), RelevantFrame("lge_sa", 2, 0.1)], origins, [VIEW]
    )
    assert found == (KeyFrame("lge_sa", IMAGES[2], 0.2), KeyFrame("lge_sa", IMAGES[0], 0.1))


def test_a_flag_without_an_own_image_states_so() -> None:
    flagged = mixed().answers[0]
    bare = illustrate(flagged, ())
    assert bare.why_no_key_frames is ReasonCode.NO_OWN_IMAGE
    assert bare.reason == f"{flagged.reason}; {because(ReasonCode.NO_OWN_IMAGE)}"
    assert bare.flag is Flag.YES
    frame = KeyFrame("lge_sa", IMAGES[0], 0.1)
    shown = illustrate(flagged, (frame,))
    assert shown == replace(flagged, key_frames=(frame,))


def test_only_key_frames_have_pictures_and_these_have_a_high_resolution() -> None:
    headers = [image(number=number, PixelData=bytes(2 * 16 * 16)) for number in range(3)]
    bright = np.full((16, 16), 1000, np.uint16)
    bright[:8] = 0
    headers[1].PixelData = bright.tobytes()
    files = {str(number): part10(each) for number, each in enumerate(headers)}
    chosen = ChosenView(
        "lge_sa", "", tuple(Image(path, h) for path, h in zip(files, headers, strict=True))
    )
    found = render_key_frames([answer(IMAGES[1])], [(chosen, VIEW)], FORM, None, files.__getitem__)
    assert [*found] == [IMAGES[1]]
    (picture,) = found.values()
    assert picture.shape == (FINE, FINE)
    assert picture[: FINE // 2 - FINE // 16].max() == 0
    assert picture[FINE // 2 + FINE // 16 :].min() == 255


def test_a_view_without_key_frames_is_not_decoded_again() -> None:
    def read(path: str) -> bytes:
        raise AssertionError(path)

    chosen = ChosenView("lge_sa", "", (Image("0", image()),))
    elsewhere = SourceImage("1.2", "1.9", "1.8")
    assert render_key_frames([answer(elsewhere)], [(chosen, VIEW)], FORM, None, read) == {}


def answer(shown: SourceImage) -> Answer:
    return replace(mixed().answers[0], key_frames=(KeyFrame("lge_sa", shown, 0.1),))
