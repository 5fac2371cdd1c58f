"""Class names of Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747), by label."""

FASHION_CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
