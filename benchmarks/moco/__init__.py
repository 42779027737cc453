"""Does momentum contrast help on microscopy, and what do its parts do?"""
