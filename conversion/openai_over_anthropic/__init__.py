"""OpenAI chat clients in front of an upstream that speaks Anthropic's Messages."""
