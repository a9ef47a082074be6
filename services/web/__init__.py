"""What every service that answers HTTP does alike: errors, headers, keys, logs."""
