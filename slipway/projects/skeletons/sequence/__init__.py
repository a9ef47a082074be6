"""The skeleton for the kit `sequence`."""
