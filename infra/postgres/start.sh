#!/bin/sh
# Start PostgreSQL's image with the password that `prepare` generated and left in a file.
set -eu
POSTGRES_PASSWORD="$(cat /run/slipway/database/password)"
export POSTGRES_PASSWORD
# Images that differ from the official one have no script of this name.
entry="$(command -v docker-entrypoint.sh || echo /entry)"
exec "$entry" postgres
