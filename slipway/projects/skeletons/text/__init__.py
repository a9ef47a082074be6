"""The skeleton for the kit `text`."""
