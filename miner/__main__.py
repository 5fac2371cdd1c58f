from miner.cli import program

program()
