"""Multimodal Handwritten Digits (MHD): image, trajectory, sound and label of digits.

The authors' set of that name (Vasco et al. 2022) made anew from what it was made of:
strokes.py reads and prepares pen strokes, fit.py and lognormal.py vary them, raster.py
draws them, sounds.py makes spectrograms of spoken digits, and pairing.py says which go
together. build.py does all that; official.py converts the authors' own files instead.
load.py finds and reads what came of it, which store.py describes.
"""
