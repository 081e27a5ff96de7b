"""Where the tests find the repository's data."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "cuda" / "vectors" / "golden"
HOST = ROOT / "cuda" / "vectors" / "host"
GOLDEN_FOLDERS = ["tiny", "gqa-top3", "bf16-sharded"]
