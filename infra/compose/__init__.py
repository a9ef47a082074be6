"""The containers of docker-compose.yml: configuration, secrets, first training, backup, restore."""
