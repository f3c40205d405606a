"""Surveillance: `events` -> `alerts`. A monitor follows a market, detectors tell what is unusual.

`monitor` feeds the detectors and numbers their alerts; each other module is one detector with its
kind of alert; `limits.toml` has their figures and legal sources. Reads `events`, writes `alerts`.
"""

from exchange.surveillance.limits import Limits, limits_file, load_limits
from exchange.surveillance.monitor import Monitor
from exchange.surveillance.service import SurveillanceService

__all__ = ["Limits", "Monitor", "SurveillanceService", "limits_file", "load_limits"]
