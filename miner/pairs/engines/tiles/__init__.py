"""Large products of two blocks of vectors on a device: by PyTorch, or by Triton kernels."""
