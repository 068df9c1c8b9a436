"""Simulate how LLM inference requests are routed between data-centre regions, and who bears the footprint."""
