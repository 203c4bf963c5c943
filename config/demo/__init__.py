"""`selfheal demo`: three real services, three real alerts, and the story of what became of them."""
