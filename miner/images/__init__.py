"""From encoded bytes to pixels: decoding, resizing, whole images for training, and augmentation."""
