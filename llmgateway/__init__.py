"""The project: settings, wiring, and the HTTP face of the gateway."""
