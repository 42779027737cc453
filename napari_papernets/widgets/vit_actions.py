"""What the ViT panel does beside reading: weights, the embedding, the score, labels."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from ..core.errors import InputError, PapernetsError
from ..core.model import ModelRef
from ..core.results import EmbeddingView, Prediction, ProbeScore, Tuned
from ..core.tune_settings import TuneSettings
from ..model_files import name_to_write, user_folder
from .offered import NO_IMAGE
from .vit_layers import LEARNT
from .vit_pictures import beside, filters_picture, positions_picture
from .vit_plan import FeaturePlan, network_name
from .vit_reader import SideJob

if TYPE_CHECKING:
    from .vit_panel import ViTPanel

NAME = "ViT on strokes"  # of a model that is made; where one is called so already, with a number behind


class VitActions(QObject):
    """Runs the verbs that the panel's other buttons ask for, one at a time.

    Parameters
    ----------
    panel : ViTPanel
        Whose parts ask, and show what comes.
    side : SideJob
        Runs the verbs.
    """

    def __init__(self, panel: ViTPanel, side: SideJob) -> None:
        super().__init__(panel)
        self._panel, self._side = panel, side
        panel.model.downloadRequested.connect(self.download)
        panel.model.openRequested.connect(self.adopt)
        panel.extras.embeddingRequested.connect(functools.partial(self._guard, self.look))
        panel.strokes.scoreRequested.connect(functools.partial(self._guard, self.score))
        panel.strokes.learnRequested.connect(functools.partial(self._guard, self.learn))
        panel.threshold.requested.connect(self._on_threshold)
        side.finished.connect(self.offer)
        self.offer()

    def download(self, name: str) -> None:
        """Fetch public weights and choose them."""
        self._panel.message.tell(f"Downloading {name}…")
        self._start("download", self._on_model, name=name)

    def adopt(self, path: Path) -> None:
        """Keep weights that the person has, and choose them."""
        self._start("adopt", self._on_model, path=path)

    def look(self) -> None:
        """Filters and position embeddings of the network, beside those of random weights if wanted."""
        model = self._panel.model.model()
        show = functools.partial(self._on_embedding, network_name(model))
        if not self._panel.controls.wants_control():
            self._start("embedding", show, model=model)
            return

        def first(learnt: EmbeddingView) -> None:
            done = functools.partial(show, learnt)
            self._start("embedding", done, model=model, random_weights=True)

        self._start("embedding", first, model=model)

    def score(self) -> None:
        """Judge the tokens on the person's strokes, then the control's."""
        plan = self._panel.plan()
        strokes = self._panel.strokes.strokes(plan.image)
        about = f"{plan.network} · block {plan.settings.block} · {self._panel.strokes.layer().name}"
        self._panel.message.tell("Scoring on held-out strokes…")
        arguments = dict(
            image=plan.image, strokes=strokes, model=plan.model, device=plan.device,
            settings=plan.settings.replace(attention=False, summaries=False),
        )  # fmt: skip

        show, random = functools.partial(self._panel.strokes.show_score, about), "random weights"

        def both(learnt: ProbeScore, control: ProbeScore) -> None:
            show({"learnt": learnt, random: control})
            self._panel.message.tell("")

        def first(score: ProbeScore) -> None:
            if isinstance(plan.model, ModelRef):
                show({"learnt": score, random: None})
                self._start("probe", functools.partial(both, score), random_weights=True, **arguments)
            else:  # it is its own control
                show({random: score})
                self._panel.message.tell("")

        self._start("probe", first, **arguments)

    def label(self, threshold: float) -> None:
        """Make labels of the places that are alike to the clicked ones."""
        layer = self._panel.board.threshold(threshold)
        share = np.count_nonzero(layer.data) / layer.data.size
        where = f"{share:.1%} of the plane" if share else "nothing: lower the threshold"
        self._panel.message.tell(f"Labelled in “{layer.name}”: {where}.")

    def learn(self) -> None:
        """Fit a linear layer to the strokes on the frozen tokens, and label the plane in view."""
        plan = self._panel.plan()
        if not isinstance(plan.model, ModelRef):
            mend = "download or open weights first: random ones have learnt nothing to build on"
            raise InputError("network", "random weights", mend)
        strokes = self._panel.strokes.strokes(plan.image)
        settings = TuneSettings(
            kind="strokes", steps=0, train="head", held_out=0.0, density=plan.settings.density
        )
        name = name_to_write(None, NAME, user_folder(), resume=False)
        self._panel.message.tell("Learning from strokes…")
        self._start(
            "finetune", functools.partial(self._on_tuned, plan), images=[plan.image],
            annotations=[strokes], model=plan.model, settings=settings, device=plan.device, name=name,
        )  # fmt: skip

    def _start(self, verb: str, done: Any, **arguments: Any) -> None:
        self._side.start(verb, done, **arguments)
        self._panel.show_busy()
        self.offer()

    def offer(self) -> None:
        """What asks for a verb waits while one runs; what needs an image waits for one."""
        panel, free = self._panel, not self._side.busy
        for button in (panel.model.download, panel.model.open, panel.extras.embedding):
            button.setEnabled(free)
        obstacle = "" if panel.image.identity() is not None else NO_IMAGE
        panel.strokes.set_obstacle(obstacle, free)
        for part in (panel.threshold, panel.bar):
            part.set_obstacle(obstacle)

    def _guard(self, action: Any) -> None:
        try:
            action()
        except PapernetsError as error:
            self._panel.complain(error)

    def _on_model(self, ref: ModelRef) -> None:
        self._panel.model.choose(ref)
        self._panel.message.tell(f"{ref.name} is there: {ref.path}")

    def _on_embedding(
        self, network: str, view: EmbeddingView, random: EmbeddingView | None = None
    ) -> None:
        caption = network if random is None else f"right: random weights, left: {network}"
        for name, draw in (("filters", filters_picture), ("positions", positions_picture)):
            picture = beside(draw(view), draw(random) if random is not None else None)
            self._panel.extras.show_picture(name, picture, caption)
        held = f"{view.explained.sum():.0%} of the filters' variance"
        right = "; random weights on the right" if random is not None else ""
        self._panel.message.tell(f"{len(view.filters)} components hold {held}{right}")

    def _on_tuned(self, plan: FeaturePlan, tuned: Tuned) -> None:
        self._start(
            "predict", functools.partial(self._on_labels, plan, tuned.model.name), image=plan.image,
            model=tuned.model, planes=(plan.plane,) if plan.image.stack_axes else None,
            probabilities=False, device=plan.device,
        )  # fmt: skip

    def _on_labels(self, plan: FeaturePlan, name: str, result: Prediction) -> None:
        labels = result.labels.reshape(plan.image.plane_shape)
        provenance = dict(result.provenance)
        self._panel.board.layers.show_labels(plan, LEARNT, labels, provenance)
        self._panel.message.tell(f"Kept as model {name!r}: fine-tune it in “Annotate & fine-tune”")

    def _on_threshold(self, value: float) -> None:
        self._panel.message.forgive()
        self._guard(functools.partial(self.label, value))
