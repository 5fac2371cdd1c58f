"""The cosine in float64 that every pair is judged by, and the threads and products behind it."""
