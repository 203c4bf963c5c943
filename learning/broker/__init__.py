"""The memory broker: the only way to what was remembered. Nothing outside this package reads its tables.

`pipeline` answers a question · `storing` remembers · `outcomes` what the log tells, remembered · `grants` a cross-domain approval
· `search` finds candidates in the database · `standing` counts, quotas and violations · `before` what an incident's page shows.
"""
