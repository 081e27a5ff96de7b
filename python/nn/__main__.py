"""`python -m nn`: the same as `nn-py`."""

import sys

from nn.cli import main

sys.exit(main())
