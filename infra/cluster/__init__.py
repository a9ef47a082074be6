"""Make what a cluster needs besides the manifests: secrets and a writable repository."""
