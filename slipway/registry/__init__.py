"""From a trained model to a served version: gate, promotion, model card, registry."""
