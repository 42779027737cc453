"""Which buttons of the CRF panel can be pressed."""

from __future__ import annotations

from .belief_picker import BeliefPicker
from .crf_tuning import HELP, CRFTuning
from .image_picker import ImagePicker
from .offered import NO_IMAGE, offer
from .run_bar import RunBar

NO_ANNOTATION = (
    "There is nothing to judge by: paint or add labels of the same classes on this image first."
)
NO_PROBABILITIES = (
    "There is nothing to refine: predict with “Probability layers” ticked, or add probabilities or "
    "labels as a layer."
)


def offer_runs(image: ImagePicker, beliefs: BeliefPicker, bar: RunBar, tuning: CRFTuning) -> None:
    """Refine only where there are an image and probabilities of it, tune where annotation is, too.

    Parameters
    ----------
    image, beliefs
        The choices.
    bar, tuning
        Whose buttons they are.
    """
    missing = "" if beliefs.combo.current() is not None else NO_PROBABILITIES
    obstacle = missing if image.identity() is not None else NO_IMAGE
    bar.set_obstacle(obstacle)
    annotated = tuning.annotation.current() is not None
    offer(tuning.button, HELP["tune"], obstacle or ("" if annotated else NO_ANNOTATION),
          free=not tuning.is_running)  # fmt: skip
