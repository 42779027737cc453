"""How good does a model get from few strokes, beside a forest on the same strokes?"""
