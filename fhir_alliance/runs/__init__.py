"""The stories: publish, score, sync."""
