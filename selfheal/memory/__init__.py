"""Who may know what of what was remembered, and what comes first: the rules of the memory broker, values in and values out.

`words` what a text is found by · `rights` how far one may look · `policies` what of it is shown · `ranking` what comes first.
"""
