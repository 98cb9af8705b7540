"""pyreqwest imported by a thread that lasts.

pyreqwest 0.15 ends the process (a segmentation fault) when a client is built after the thread that first imported it
has ended: every time, measured with CPython 3.11. Notebooks and servers run Inlay in threads that end, so the import
is left to one that does not. What stays true: nothing else ever runs in that thread, and it keeps no process alive.
"""

from __future__ import annotations

import sys
import threading


def import_lastingly() -> None:
    """Make sure that pyreqwest is imported, by the main thread or one that never ends. Idempotent, thread-safe."""
    if "pyreqwest.client" in sys.modules:
        return
    if threading.current_thread() is threading.main_thread():
        import pyreqwest.client  # noqa: F401 (only so that it is there)

        return
    done = threading.Event()

    def last() -> None:
        try:
            import pyreqwest.client  # noqa: F401
        except ImportError:
            return  # whoever needs it next says so
        finally:
            done.set()
        threading.Event().wait()

    threading.Thread(target=last, name="inlay-pyreqwest", daemon=True).start()
    done.wait()
