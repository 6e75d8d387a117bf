"""Where the ``sshexec`` command begins: patch first, then everything else. The library never imports this module."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Python's own handler prints a traceback where Ctrl-C comes while modules are still being imported.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from sshexec.runtime.patched import patch

patch()

import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    _occupy_standard_descriptors()
    from sshexec.cli.interrupt import end_on_signals, heeded
    from sshexec.cli.main import run
    from sshexec.runtime import descriptors

    descriptors.raise_limit()

    end_on_signals()
    code = run()
    for number in heeded():
        signal.signal(number, signal.SIG_DFL)  # nothing is left to clean up, and Python's own end takes a moment
    sys.exit(code)


def _occupy_standard_descriptors() -> None:
    """Open what the caller has closed (``>&-``), or the next file or connection would become our standard output.

    Standard output is opened for reading, so that writing there fails as it should.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
    # Where Python found it closed it has none, and print() takes standard output in its place.
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
