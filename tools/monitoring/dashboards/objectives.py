"""Where panels draw their lines: what is promised, and what is slow, as alerts have it."""

from tools.monitoring.thresholds import PRODUCTION

LINES = PRODUCTION
