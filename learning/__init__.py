"""Remembers what worked: lessons read from the log by a cursor, summed up by the hour. It advises, healing decides."""
