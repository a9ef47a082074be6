"""The stages behind every project's `dvc.yaml`: prepare, fit, evaluate and register.

Each reads and writes files only, so that DVC can see what must run again. Each stands in a module
of its own, which imports no more than its stage needs: what a stage imports is what it depends on.
"""
