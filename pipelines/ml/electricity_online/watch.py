"""Drift detection on the learner's error by ADWIN (Bifet and Gavaldà 2007), with a text state."""

import base64

from river.drift import ADWIN


class Watch:
    """A drift detector with the number of its alarms; it is reset after each."""

    def __init__(self, alarms: int = 0) -> None:
        self.alarms = alarms
        self._adwin = ADWIN()

    def detects_drift(self, error: float) -> bool:
        """Return whether the errors drift, given the next one, from 0 to 1, before learning."""
        self._adwin.update(error)
        drifts = bool(self._adwin.drift_detected)
        if drifts:
            self.alarms, self._adwin = self.alarms + 1, ADWIN()
        return drifts

    def state(self) -> dict[str, int | str]:
        """Return the state as JSON values."""
        return {
            "alarms": self.alarms,
            # Its buckets, 2 kB after 20,000 errors. They are exact, and contain no code as a
            # pickle.
            "adwin": base64.b64encode(self._adwin._helper.__getstate__()).decode(),
        }

    @classmethod
    def from_state(cls, state: dict[str, int | str]) -> "Watch":
        """Return a detector that continues exactly as the one that had this state."""
        watch = cls(int(state["alarms"]))
        watch._adwin._helper.__setstate__(base64.b64decode(str(state["adwin"])))
        return watch
