"""The model server's speed compared with other servers, with the same model behind all of them."""
