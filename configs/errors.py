"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from configs.process import prepare


class UserError(Exception):
    """Bad input. The message is one line that names the value, what would be right, and how to mend it."""


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; turn bad input into one line on stderr and exit status 2, Ctrl-C into 130."""
    prepare()
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # who read along has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at the end
        sys.exit(0)
    except OSError as error:  # a full disk, a folder that is a file, a file that may not be read
        print(f"error: {error.strerror or error}: {error.filename or 'no file named'}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; what was written up to here is kept", file=sys.stderr)
        sys.exit(130)
