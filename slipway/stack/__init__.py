"""What the containers of docker-compose.yml need of one another; how they are filled and kept."""
