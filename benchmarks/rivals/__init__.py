"""The programs that are compared, each as an engineer who knows its documentation writes it."""
