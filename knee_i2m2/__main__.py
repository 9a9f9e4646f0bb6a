"""`python -m knee_i2m2 VERB ...`: the console script, such as under torchrun."""

import sys

from knee_i2m2.cli import main

sys.exit(main())
