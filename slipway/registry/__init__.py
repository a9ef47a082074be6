"""Registration of trained models: gate, promotion, model card and the MLflow registry."""
