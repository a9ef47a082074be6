"""The skeleton for the kit `forecasting`."""
