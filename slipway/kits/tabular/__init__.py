"""The kit for rows of numbers and categories, with scikit-learn's estimators."""
