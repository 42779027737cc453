"""Do the tokens of a Vision Transformer know what a person's strokes mean?"""
