"""The shell around it all: settings, urls, celery, the command line."""

import os

# setproctitle, which Celery and gunicorn load too, may not write titles over the environment: whoever looks for the processes of
# a home finds them by it. It is read when that library is loaded, so it is said here, before anything else of ours.
os.environ.setdefault("SPT_NOENV", "1")
