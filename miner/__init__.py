"""Mine semantic image pairs with a frozen encoder, publish them, and pretrain vision encoders on them."""

__version__ = "0.1.0"
