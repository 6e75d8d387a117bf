"""Where the ``sshexec`` command begins: patch first, then everything else. The library never imports this module."""

from gevent import monkey

monkey.patch_all()

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from sshexec.cli.main import run

    _raise_file_limit()
    sys.exit(run())


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets this user have: a host takes about three."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_MOST_FILES = 65536
"""More is never needed, and some systems hand out limits in the billions that older programs loop over."""
