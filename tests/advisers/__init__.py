"""How the advisers are judged: on data that nobody here made, by rules that others wrote. `make advisers` prints the figures."""
