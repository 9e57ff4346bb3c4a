"""Where a request may go: providers, credentials, deployments, aliases and routes."""
