"""Keeps compiled code from outliving its source.

Flow: [compiled] -> every module of this package. numba keeps compiled functions beside the source, and
compiles again when a function's own file changes, but not when a function that it calls in another file
does: after an update of one module, others would go on with its old code. So whenever any file of the
package has changed, what was compiled before is forgotten."""

from __future__ import annotations

from pathlib import Path

from dreamduck.storage import replacing

FOLDER = Path(__file__).parent
STAMP = "compiled.stamp"


def forget_stale(folder: Path = FOLDER) -> bool:
    """Remove what numba kept of a folder's modules if one of them has changed since.

    Args:
        folder: with the modules; numba keeps its files in `__pycache__` there.
    Returns:
        Whether something was removed. Where the folder cannot be written, numba keeps its files elsewhere,
        and nothing is done.
    """
    sources = sorted((path.name, path.stat()) for path in folder.glob("*.py"))
    now = "\n".join(f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in sources)
    cache = folder / "__pycache__"
    stamp = cache / STAMP
    try:
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == now:
            return False
        kept = [*cache.glob("*.nbi"), *cache.glob("*.nbc")]
        for path in kept:
            path.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        with replacing(stamp) as temporary:
            temporary.write_text(now, encoding="utf-8")
    except OSError:
        return False
    return bool(kept)
