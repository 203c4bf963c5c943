"""The HTTP API: one file a resource, thin. A view reads its input, calls one service or selector, answers.

Every error is `application/problem+json` (RFC 9457), every list is {results, next, previous}. `urls` holds the table.
"""
