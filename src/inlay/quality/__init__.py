"""How good the answers are, held against values that are known: samples, comparison, figures.

What stays true: nothing here asks a model or writes anything; a figure says how many rows it rests on and, where it is
an estimate, how far off it may be.
"""
