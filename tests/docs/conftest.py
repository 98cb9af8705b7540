"""The tests of the pages share two modules beside them: one reads pages, one runs their blocks."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
