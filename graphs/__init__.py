"""What happens in a turn: retrieve, augment, generate, persist. Knows neither the web nor SQL."""
