"""Anthropic Messages clients over OpenAI chat upstreams."""
