"""The model server's speed beside that of others, the same model behind all of them."""
