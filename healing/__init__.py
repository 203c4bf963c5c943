"""Alert → incident → proposal → decision → run → verify; owner of the log."""
