"""The kit for objects in pictures: their boxes and labels, found by a network on a grid of cells.

The network halves a picture some times, and each cell of the small grid says how likely the middle
of an object of each label is there, and how far its four sides are (Zhou et al. 2019; Tian et al.
2019). There are no anchors to choose.
"""
