"""The GPU kernels of the join. They are imported only where Triton is installed; `triton.py` calls them.

Scores stay in registers. A tile with a pair writes one bit per score, where the score itself would take four bytes. So writing
costs a few percent of the product. From the bits and a count per row of a tile, a second kernel writes the pairs
at their final, sorted positions: without atomics, without a guess at their number, and without a second product.
Legend: n columns of a tile, w = n / 32 words; bit i of word j stands for column i * w + j, the order in which a thread holds them.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["lefts", "rights", "shift"])
def mark_pairs(
    left,  # (lefts, dims)
    right,  # (rights, dims)
    counts,  # uint8 (tiles, lefts), zeros
    words,  # int32 (tiles, lefts, w)
    lefts,
    rights,
    dims,
    left_stride,
    right_stride,
    shift,  # a pair is wanted from column > row + shift on
    lowest,
    left_floors,  # float32 (lefts,), read where `by_row`
    right_floors,  # float32 (rights,)
    block_rows: tl.constexpr,
    block_columns: tl.constexpr,
    block_depth: tl.constexpr,
    even_depth: tl.constexpr,  # dims is a multiple of block_depth
    by_row: tl.constexpr,  # a score must reach the lower floor of its row and column, not `lowest`
    widen: tl.constexpr,  # multiply as float32
):
    """Count and mark the scores of one tile that reach a value, above the diagonal."""
    # All row blocks of a column block follow each other, so that the column block is read from memory once.
    row_blocks = tl.cdiv(lefts, block_rows)
    tile = (tl.program_id(0) // row_blocks).to(tl.int64)
    first_row = (tl.program_id(0) % row_blocks) * block_rows
    first_column = tile * block_columns
    if first_column + block_columns - 1 > first_row + shift:
        rows = first_row + tl.arange(0, block_rows)
        inside = tl.arange(0, block_columns)
        depth = tl.arange(0, block_depth)
        # Rows past the end repeat the last one, which is cheaper than a mask on every load.
        x_rows = tl.minimum(rows, lefts - 1).to(tl.int64)
        y_rows = tl.minimum(first_column + inside, rights - 1).to(tl.int64)
        x_at = left + x_rows[:, None] * left_stride + depth[None, :]
        y_at = right + y_rows[None, :] * right_stride + depth[:, None]
        scores = tl.zeros((block_rows, block_columns), tl.float32)
        for start in range(0, dims, block_depth):
            if even_depth:
                x = tl.load(x_at)
                y = tl.load(y_at)
            else:
                x = tl.load(x_at, mask=depth[None, :] < dims - start, other=0.0)
                y = tl.load(y_at, mask=depth[:, None] < dims - start, other=0.0)
            if widen:
                x = x.to(tl.float32)
                y = y.to(tl.float32)
            scores = tl.dot(x, y, scores, input_precision="ieee")
            x_at += block_depth
            y_at += block_depth
        if by_row:  # the sign of a float32 difference is exact
            floors = tl.minimum(tl.load(left_floors + x_rows)[:, None], tl.load(right_floors + y_rows)[None, :])
            scores = scores - floors
            lowest = 0.0
        if tl.max(tl.max(scores, 1), 0) >= lowest:
            # The last column of the tile that is not above the diagonal: per row in int64, then per score in int32.
            diagonal = tl.minimum(tl.maximum(rows + shift - first_column, -1), block_columns).to(tl.int32)
            ends = tl.minimum(rights - first_column, block_columns).to(tl.int32)
            reached = (scores >= lowest) & (inside[None, :] > diagonal[:, None]) & (inside < ends)[None, :]
            per_row: tl.constexpr = block_columns // 32
            bits = tl.reshape(reached.to(tl.uint32), (block_rows, 32, per_row))
            bits = bits << tl.arange(0, 32).to(tl.uint32)[None, :, None]
            packed = tl.sum(bits, 1).to(tl.int32, bitcast=True)
            entries = tile * lefts + rows
            real = rows < lefts
            tl.store(counts + entries, tl.sum(reached.to(tl.int32), 1).to(tl.uint8), mask=real)
            words_at = words + entries[:, None] * per_row + tl.arange(0, per_row)[None, :]
            tl.store(words_at, packed, mask=real[:, None])


@triton.jit(do_not_specialize=["entries", "lefts", "left_start", "right_start"])
def write_marked_pairs(
    words,  # int32 (tiles, lefts, w)
    nonzero,  # int64 (entries, 2): row and tile of each count that is not zero, sorted
    offsets,  # int64 (entries,): position of the first pair of each
    pairs,  # int64 (m, 2)
    entries,
    lefts,
    left_start,
    right_start,
    block_columns: tl.constexpr,
    block_entries: tl.constexpr,
):
    """Turn the marks into row numbers, each pair at its sorted position."""
    entry = tl.program_id(0) * block_entries + tl.arange(0, block_entries)
    real = entry < entries
    row = tl.load(nonzero + 2 * entry, mask=real, other=0)
    tile = tl.load(nonzero + 2 * entry + 1, mask=real, other=0)
    first = tl.load(offsets + entry, mask=real, other=0)
    inside = tl.arange(0, block_columns)
    per_row: tl.constexpr = block_columns // 32
    words_at = words + (tile * lefts + row)[:, None] * per_row + (inside % per_row)[None, :]
    bit = (tl.load(words_at, mask=real[:, None], other=0) >> (inside // per_row)[None, :]) & 1
    position = first[:, None] + tl.cumsum(bit, 1) - 1
    a = (row + left_start)[:, None] + tl.zeros_like(position)
    b = (tile * block_columns + right_start)[:, None] + inside[None, :]
    tl.store(pairs + 2 * position, a, mask=bit == 1)
    tl.store(pairs + 2 * position + 1, b, mask=bit == 1)


@triton.jit(do_not_specialize=["count", "left_start", "right_start"])
def multiply_pairs(
    left,  # (lefts, dims)
    right,  # (rights, dims)
    pairs,  # int64 (count, 2)
    products,  # float64 (count,)
    count,
    dims,
    left_stride,
    right_stride,
    left_start,
    right_start,
    block_pairs: tl.constexpr,
    block_depth: tl.constexpr,
):
    """Products of chosen rows in float64, which costs no time: the kernel waits for memory."""
    pair = tl.program_id(0).to(tl.int64) * block_pairs + tl.arange(0, block_pairs)
    real = pair < count
    a = tl.load(pairs + 2 * pair, mask=real, other=left_start) - left_start
    b = tl.load(pairs + 2 * pair + 1, mask=real, other=right_start) - right_start
    depth = tl.arange(0, block_depth)
    x_at = left + a[:, None] * left_stride + depth[None, :]
    y_at = right + b[:, None] * right_stride + depth[None, :]
    sums = tl.zeros((block_pairs, block_depth), tl.float64)
    for start in range(0, dims, block_depth):
        mask = real[:, None] & (depth < dims - start)[None, :]
        sums += tl.load(x_at, mask=mask, other=0.0).to(tl.float64) * tl.load(y_at, mask=mask, other=0.0).to(tl.float64)
        x_at += block_depth
        y_at += block_depth
    tl.store(products + pair, tl.sum(sums, 1), mask=real)
