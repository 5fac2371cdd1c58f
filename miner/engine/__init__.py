"""Units of work: run them anywhere, commit each result atomically, skip what is done. Nothing here depends on images."""

from miner.engine.atomic import (
    cannot_write,
    committed,
    explain_write_error,
    json_bytes,
    partial_path,
    sync,
    write_bytes,
    write_json,
)
from miner.engine.digest import DigestedFile, file_record, first_difference
from miner.engine.limits import answers_in_time
from miner.engine.locks import cache_lock, folder_lock, take_lock
from miner.engine.progress import Progress, part_of_whole, time_in_words
from miner.engine.records import (
    Record,
    Result,
    fingerprint,
    is_signed,
    parse_json,
    read_json,
    same_file,
    signed,
    write_signed,
)
from miner.engine.remote import (
    AnyPath,
    RemotePath,
    bounded_options,
    explained,
    file_system,
    is_local,
    local_or_remote,
    one_line,
)
from miner.engine.units import Executor, LocalExecutor, Unit, assigned_device, finished_items, is_follower, run

__all__ = ["Executor", "LocalExecutor", "Progress", "Result", "Unit", "assigned_device", "finished_items", "run"]
__all__ += ["Record", "fingerprint", "is_signed", "parse_json", "read_json", "same_file", "signed", "write_signed"]
__all__ += [
    "cannot_write",
    "committed",
    "explain_write_error",
    "json_bytes",
    "partial_path",
    "sync",
    "write_bytes",
    "write_json",
]
__all__ += ["DigestedFile", "bounded_options", "explained", "file_record", "first_difference", "one_line"]
__all__ += ["AnyPath", "RemotePath", "file_system", "is_follower", "is_local", "local_or_remote"]
__all__ += ["answers_in_time", "cache_lock", "folder_lock", "part_of_whole", "take_lock", "time_in_words"]
