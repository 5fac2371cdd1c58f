"""Random views of a batch of images, on the device, with other parameters for each sample."""
