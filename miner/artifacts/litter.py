"""Files that operating systems, file servers and editors leave in any folder. They are nobody's result and do no harm."""

import re

_FOLDERS = (
    r"__MACOSX|\.(Trash-\d+|Trashes|fseventsd|Spotlight-V\d+|ipynb_checkpoints)|@eaDir|\$RECYCLE\.BIN|System Volume.*"
)
_FILES = (
    r"\.DS_Store|\.localized|\._.*|(eh)?thumbs\.db|desktop\.ini|\.directory"  # of desktops
    r"|\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+|\.smbdelete.*"  # of file systems, for files that are still open
    r"|\..*\.sw[a-p]|.*~|#.*#|\.#.*"  # of editors
)
_LITTER = re.compile(rf"(.*/)?(({_FOLDERS})/.*|{_FILES})", re.IGNORECASE | re.DOTALL)


def is_litter(path: str) -> bool:
    """Whether a path below a folder names such a file."""
    return _LITTER.fullmatch(path) is not None
