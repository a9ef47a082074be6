"""Windows of a model's traffic held against its reference: drift, performance, fairness."""
