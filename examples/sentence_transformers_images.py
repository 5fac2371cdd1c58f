"""Fine-tune an image encoder on a published set of pairs with the trainer of Sentence Transformers (5.4 or newer).

    pip install sentence-transformers accelerate
    python examples/sentence_transformers_images.py FOLDER|ORG/NAME --model sentence-transformers/clip-ViT-B-32

The trainer takes the columns `anchor` and `positive` as they are. `MultipleNegativesRankingLoss` is the loss of CLIP between them.
Without --model, a small CLIP with random weights is made, which needs no network.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from datasets import load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer


def save_small_clip(folder: Path, side: int = 32) -> None:
    """A CLIP of two layers with random weights, for images of `side` pixels."""
    layers = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    vision = {**layers, "image_size": side, "patch_size": 8}
    text = {**layers, "vocab_size": len(tokens), "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64)).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    CLIPProcessor(images, CLIPTokenizer(vocab=tokens, merges=[])).save_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Train, and return the losses that the trainer logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", metavar="FOLDER|ORG/NAME")
    parser.add_argument("--model", help="any model of Sentence Transformers that takes images")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--output", default="sentence-transformers-model")
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    pairs = load_dataset(options.dataset, split="train").select_columns(["anchor", "positive"])
    with TemporaryDirectory() as made:
        if options.model is None:
            save_small_clip(Path(made))
        model = SentenceTransformer(options.model or made)
    settings = SentenceTransformerTrainingArguments(
        output_dir=options.output,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.lr,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    )
    loss = MultipleNegativesRankingLoss(model, scale=5.0)
    trainer = SentenceTransformerTrainer(model, settings, train_dataset=pairs, loss=loss)
    trainer.train()
    model.save_pretrained(options.output)
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    main()
