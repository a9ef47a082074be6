"""The monitor: drift, performance and fairness of every champion, from the prediction log."""
