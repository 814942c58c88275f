"""What a site may choose about the rules. The cards say what each number means and where its default is from."""

from __future__ import annotations

import msgspec

from fhir_alliance.core.model import ChangeNumbers, Number, Scale, Sourced, Threshold

CHOSEN = "chosen by the site"


class ChosenThreshold(msgspec.Struct, frozen=True):
    """A threshold that a site has chosen for one scale, in points, where sources differ or it knows better.

    line: the line of caseness; on an alliance scale, the line at which to talk about it.
    """

    instrument: str
    scale: str
    line: Number | None = None
    reliable_change: Number | None = None
    source: str = CHOSEN


class RuleSettings(msgspec.Struct, frozen=True):
    """Thresholds of all rules, by the names that stand in `[rules]`; 0 days or sessions is off.

    off: ids of rules that the site has switched off.  threshold: its own choices by scale.
    Steps of the alliance are in points of the mean answer, whatever the scale adds up to.
    """

    off: tuple[str, ...] = ()
    look_back_days: int = 0
    crossing_share: float = 1.0
    track_band: float = 0.8
    sessions_before: int = 3
    sd_units: float = 1.0
    least_step: float = 1.0
    chart_sessions: int = 5
    chart_sigmas: float = 3.0
    low_share: float = 0.5
    flat_sessions: int = 3
    gap_points: float = 1.5
    mode_sessions: int = 3
    mode_points: float = 0.5
    missed_sessions: int = 0
    silent_days: int = 0
    goal_grace_days: int = 0
    review_every_days: int = 0
    review_every_sessions: int = 0
    threshold: tuple[ChosenThreshold, ...] = ()

    def line(self, instrument: str, scale: Scale) -> Threshold | None:
        """Return the line of a scale: the site's, or else the published one."""
        for chosen in self._chosen(instrument, scale):
            if chosen.line is not None:
                return Threshold(chosen.line, chosen.source)
        return scale.caseness

    def change(self, instrument: str, scale: Scale) -> ChangeNumbers:
        """Return the numbers on change of a scale, with the site's reliable change where it has chosen one."""
        for chosen in self._chosen(instrument, scale):
            if chosen.reliable_change is not None:
                number = Sourced(chosen.reliable_change, chosen.source)
                return msgspec.structs.replace(scale.change, reliable_change=number)
        return scale.change

    def _chosen(self, instrument: str, scale: Scale) -> tuple[ChosenThreshold, ...]:
        return tuple(c for c in self.threshold if (c.instrument, c.scale) == (instrument, scale.id))
