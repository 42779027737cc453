"""Buttons and fields that cannot be used now, and say why."""

from __future__ import annotations

import html

from qtpy.QtWidgets import QWidget

NO_IMAGE = "Open an image first (File → Open Sample → Papernets has some)."


def offer(part: QWidget, tooltip: str, obstacle: str = "", free: bool = True) -> None:
    """Enable a button or a field where nothing is in its way.

    Parameters
    ----------
    part : QWidget
        The button or the field.
    tooltip : str
        What it does.
    obstacle : str
        Why it cannot be used, said before that; empty where it can.
    free : bool
        Whether it need not wait for something that runs, which explains itself.
    """
    part.setEnabled(free and not obstacle)
    why_not = f"<p>{html.escape(obstacle)}</p>" if obstacle else ""
    part.setToolTip(f"{why_not}<p>{tooltip}</p>")
