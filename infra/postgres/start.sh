#!/bin/sh
# PostgreSQL's image with a password that was drawn for this machine: `prepare` left it in a file.
set -eu
POSTGRES_PASSWORD="$(cat /run/slipway/database/password)"
export POSTGRES_PASSWORD
# Images that are built otherwise than the official one have no script of this name.
entry="$(command -v docker-entrypoint.sh || echo /entry)"
exec "$entry" postgres
