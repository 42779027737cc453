"""Buttons that cannot be pressed now, and say why."""

from __future__ import annotations

import html

from qtpy.QtWidgets import QAbstractButton

NO_IMAGE = "Open an image first (File → Open Sample → Papernets has some)."


def offer(button: QAbstractButton, tooltip: str, obstacle: str = "", free: bool = True) -> None:
    """Enable a button where nothing is in its way.

    Parameters
    ----------
    button : QAbstractButton
        The button.
    tooltip : str
        What it does.
    obstacle : str
        Why it cannot be pressed, said before that; empty where it can.
    free : bool
        Whether it need not wait for something that runs, which explains itself.
    """
    button.setEnabled(free and not obstacle)
    why_not = f"<p>{html.escape(obstacle)}</p>" if obstacle else ""
    button.setToolTip(f"{why_not}<p>{tooltip}</p>")
