"""Settings of the tests: a throwaway home, execute mode, and whatever database and broker the environment names."""

import os
import tempfile

# Not left in the environment, which the workers of the tests would inherit: a STOP file stops all that share a home.
own_home = "SELF_HEAL_HOME" not in os.environ
os.environ.setdefault("SELF_HEAL_HOME", tempfile.mkdtemp(prefix="selfheal-test-"))
os.environ.setdefault("SELF_HEAL_TIME_ZONE", "UTC")
os.environ.setdefault("SELF_HEAL_EXECUTE", "true")

from config.settings import *  # noqa: E402, F403

if own_home:
    del os.environ["SELF_HEAL_HOME"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("postgresql"):  # noqa: F405
    # A crash of the server may take the last commits along. No test crashes it, and what kills a process loses nothing by this.
    DATABASES["default"]["OPTIONS"]["options"] = "-c synchronous_commit=off"  # noqa: F405
