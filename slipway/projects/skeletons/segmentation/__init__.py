"""The skeleton for the kit `segmentation`."""
