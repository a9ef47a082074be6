"""Settings of dependencies, to be made before their import: no telemetry, bars or busy waiting."""

import os

# Set before any dependency is imported: none of them may call home.
TELEMETRY_OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "YDATA_PROFILING_NO_ANALYTICS": "True",
    "GIT_PYTHON_REFRESH": "quiet",
}
# MLflow draws a bar for every file it copies, and tells of each table it makes.
QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_LOGGING_LEVEL": "WARNING"}


def silence_telemetry() -> None:
    os.environ.update(TELEMETRY_OFF)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def rest_threads() -> None:
    """OpenMP's threads sleep while they wait for each other; call it before torch and its like.

    By default they spin. Two trainings of a small network side by side on two cores took 25 s so,
    and take 7 s asleep, one alone 7 s and 4 s, with equal results.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
