"""A project trained again elsewhere, on other parameters and on what was learnt since."""
