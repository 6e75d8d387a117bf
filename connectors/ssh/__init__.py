"""SSH by Paramiko: the only room that imports it."""

from sshexec.connectors.ssh.standin import import_paramiko

import_paramiko()
