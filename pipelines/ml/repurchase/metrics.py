"""The metrics by which candidates are compared and the served model is scored."""

# Reported beside the Brier skill.
NAMES = ("brier", "roc_auc", "average_precision", "log_loss")
