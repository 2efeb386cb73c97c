"""`python -m convlstm`."""

import sys

from convlstm.cli import main

sys.exit(main())
