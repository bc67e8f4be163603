"""How hypothesis runs: on a busy machine slow is no failure, and CI tries the same examples every time."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("busy"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "busy")
