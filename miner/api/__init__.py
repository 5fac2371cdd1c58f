"""The Python interface: `import miner` hands on what is public here."""
