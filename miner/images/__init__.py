"""From encoded bytes to pixels: decoding, resizing, canvases for training, and augmentation."""
