"""The arguments that all modules which leave a file have: whose it is and what may be done with it.

Names, types and defaults follow ansible-core 2.19 (`FILE_COMMON_ARGUMENTS`).
"""

from __future__ import annotations

from sshexec.modules.arguments import Parameter

FILE_PARAMETERS = (
    Parameter("mode", "raw", help="permissions: octal (`0644`) or symbolic (`u=rw,g=r`)"),
    Parameter("owner", help="owner, by name or number"),
    Parameter("group", help="group, by name or number"),
    Parameter("attributes", aliases=("attr",), help="attributes as chattr(1) takes them, such as `+i`"),
    Parameter("seuser", help="SELinux user; `_default` is the policy's; without SELinux it does nothing"),
    Parameter("serole", help="SELinux role, likewise"),
    Parameter("setype", help="SELinux type, likewise"),
    Parameter("selevel", help="SELinux level, likewise"),
    Parameter("unsafe_writes", "bool", default=False, help="write in place where a file can't be renamed over another"),
)
"""``mode``, ``owner``, ``group``, ``attributes``, the SELinux context and ``unsafe_writes``."""

TIME_FORMAT = "%Y%m%d%H%M.%S"
"""How times are written unless their format is given."""
