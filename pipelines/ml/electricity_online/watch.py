"""Whether the error that is made drifts: ADWIN (Bifet and Gavaldà 2007), its state as text."""

import base64

from river.drift import ADWIN


class Watch:
    """`alarms` counts how often it spoke; after each the detector begins anew."""

    def __init__(self, alarms: int = 0) -> None:
        self.alarms = alarms
        self._adwin = ADWIN()

    def speaks(self, error: float) -> bool:
        """Of an error from 0 to 1, told before the learner learnt from it."""
        self._adwin.update(error)
        found = bool(self._adwin.drift_detected)
        if found:
            self.alarms, self._adwin = self.alarms + 1, ADWIN()
        return found

    def state(self) -> dict[str, int | str]:
        return {
            "alarms": self.alarms,
            # Its buckets, 2 kB after 20,000 errors: to the last bit, and no code as in a pickle.
            "adwin": base64.b64encode(self._adwin._helper.__getstate__()).decode(),
        }

    @classmethod
    def of(cls, state: dict[str, int | str]) -> "Watch":
        """Goes on as the one that had this state would have."""
        watch = cls(int(state["alarms"]))
        watch._adwin._helper.__setstate__(base64.b64decode(str(state["adwin"])))
        return watch
