"""The dependencies of stages, found by walking the imports of their code."""
