"""The stages behind every project's `dvc.yaml`: prepare, fit, evaluate and register.

A stage reads and writes files only, so that DVC can tell which stages must run again. Each has its
own module, which imports only what the stage needs, because a stage depends on all that it imports.
"""
