"""Which pairs the page shows as pictures, and how their images are read and made small."""
