"""Samples that the project ships: images of its own making, with truth and ready-made strokes."""
