"""The skeleton for the kit `detection`."""
