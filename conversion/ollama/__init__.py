"""Ollama's own chat API behind the OpenAI dialect: what tools and images need there."""
