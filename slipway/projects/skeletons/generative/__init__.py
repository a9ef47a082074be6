"""The skeleton for the kit `generative`."""
