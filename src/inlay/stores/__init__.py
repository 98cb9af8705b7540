"""Stores: where answers, cells, history and money are kept. `sqlite` for one machine, `memory` for trying things."""
