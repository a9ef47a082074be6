"""Readers of the formats in which data sets of pictures, sound and tables are published."""
