"""Which pairs the page shows as thumbnails, and how their images are read and made small."""
