"""How the bundled start `strokes` was taught to learn from strokes."""
