"""Pure: nouns to what people look at."""
