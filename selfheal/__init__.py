"""The rules of selfheal: values in, values out.

No Django, no I/O, no clock and no randomness that is not handed in, so that an auditor can read and run it alone.
"""
