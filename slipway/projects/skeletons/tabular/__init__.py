"""The skeleton for the kit `tabular`."""
