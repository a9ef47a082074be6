"""The tests. What must be set before NumPy or Java is loaded is set here, before any conftest."""

import os

from slipway import arithmetic

# Spark here lives for seconds: without the second compiler it takes half the processor's time.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
# As every stage does: tiny trainings give the same figures on every processor.
arithmetic.pin()
