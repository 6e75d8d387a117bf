"""``python -m sshexec`` is the ``sshexec`` command."""

from sshexec.cli.entry import main

main()
