"""The tests. Settings that must precede the import of NumPy or Java are made here."""

import os

from slipway import arithmetic

# Spark runs for seconds only: without the second compiler it takes half the CPU time.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
# Like every stage: tiny trainings give the same results on every processor.
arithmetic.pin()
