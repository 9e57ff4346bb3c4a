"""Edits texts and bodies as an operator says, in the client's dialect: requests, whole answers, streams. Pure."""
