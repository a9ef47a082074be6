#!/bin/sh
# `slipway` in a container: docker compose exec trainer slipway list
exec python -m services.with_secrets python -m slipway "$@"
