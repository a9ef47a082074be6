"""The skeleton for the kit `image_classification`."""
