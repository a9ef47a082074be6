"""Names shared by `fit` and `evaluate`.

They are the metrics of probabilities, the column groups whose importance is measured, and the
learners whose trials are counted.
"""

FIGURES = ("roc_auc", "average_precision", "brier")
GROUPS = ("delay", "bill", "paid", "use", "share_paid", "other")
LEARNERS = ("logistic", "network", "extra_trees", "lightgbm", "xgboost")
