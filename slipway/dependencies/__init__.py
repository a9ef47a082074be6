"""What a stage depends on, found by walking the imports of its code."""
