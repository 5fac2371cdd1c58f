import torch

from miner.train.methods.parts.queue import empty_slots, enqueue


def test_a_queue_of_uneven_size_wraps_around_and_loses_no_row() -> None:
    queue, queued = torch.zeros(7, 1), torch.zeros((), dtype=torch.long)
    stream = torch.arange(1.0, 13.0).view(4, 3, 1)
    for step, rows in enumerate(stream, 1):
        enqueue([queue], queued, [rows])
        newest = set(range(max(1, 3 * step - 6), 3 * step + 1))
        present = ~empty_slots(queue, queued)
        assert set(queue[present].flatten().tolist()) == newest and queued.item() == 3 * step
