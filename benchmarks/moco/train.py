"""Pre-train on the unlabelled pool.

    python -m napari_papernets.benchmarks.moco.train --name dense --minutes 40 --folder build/moco

--free leaves out what must not ship; further arguments are settings, as in --encoder contracting. The
bundled encoder is the best of three, which differ by their seed; it came about by

    python -m napari_papernets.benchmarks.moco.train --name microscopy --free --minutes 600 \\
        --steps 1500 --encoder unet --width 8 --depth 3 --K 2048 --no-near --crop 64 --batch 32 \\
        --learning-rate 0.002 --blur 1 --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari_papernets as pn
from napari_papernets.core.events import Step, StrokeProbe

from .pool import pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="moco")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--folder", type=Path, default=Path("build/moco"))
    parser.add_argument("--free", action="store_true", help="only what may ship as weights")
    parser.add_argument("--resume", action="store_true")
    for info in pn.MoCoSettings.fields():
        if info.type is bool:
            parser.add_argument(info.option, action=argparse.BooleanOptionalAction, default=None)
        elif info.name != "seconds":
            parser.add_argument(info.option, type=info.type, default=None)
    given = vars(parser.parse_args())
    names = {info.name for info in pn.MoCoSettings.fields()}
    chosen = {k: v for k, v in given.items() if k in names and v is not None}
    images, shares = pool(given["free"])

    def tell(event: object) -> None:
        if isinstance(event, StrokeProbe) or (isinstance(event, Step) and event.step % 50 == 0):
            print(event, flush=True)

    tuned = pn.pretrain(
        images,
        settings=pn.MoCoSettings(seconds=60 * given["minutes"], **chosen),
        name=given["name"],
        folder=given["folder"],
        shares=shares,
        resume=given["resume"],
        on_event=tell,
    )
    print(tuned.model.path, tuned.provenance["steps_done"], tuned.provenance["accuracy"])


if __name__ == "__main__":
    main()
