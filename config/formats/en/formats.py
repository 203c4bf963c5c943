"""How a time reads where no page of ours writes it: with its zone, as everywhere else."""

DATETIME_FORMAT = "D j M Y H:i T"
