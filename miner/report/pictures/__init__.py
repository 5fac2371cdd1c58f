"""Which images the page shows, and how they are read and made small."""
